"""The web process's entry point: `gunicorn wsgi:app`."""

from smsapp import logs
from smsapp.settings import load_settings
from smsapp.web.app import create_app

settings = load_settings()
logs.configure(settings)
app = create_app(settings)
