"""The web process's entry point: `gunicorn wsgi:app`."""

import signal
from types import FrameType
from typing import Any

from smsapp import logs
from smsapp.app import create_app
from smsapp.config import load_settings
from smsapp.news.desk import NewsDesk
from smsapp.web.wiring import provided

settings = load_settings()
logs.configure(settings)
app = create_app(settings)


def _end_waiting(then: Any) -> None:
    """Answer waiting requests when the process is asked to stop: the server waits for open ones."""

    def end(number: int, frame: FrameType | None) -> None:
        provided(NewsDesk, app).ending = True
        if callable(then):
            then(number, frame)

    signal.signal(signal.SIGTERM, end)


_end_waiting(signal.getsignal(signal.SIGTERM))
