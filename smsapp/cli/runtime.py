"""The runtime that a command works with: the same ports as a worker's."""

import sys

from smsapp import logs
from smsapp.cli.settings import settings_or_exit
from smsapp.connect import build_runtime
from smsapp.db.engine import make_sessions
from smsapp.queue.tasks import make_publisher
from smsapp.runtime import Runtime


def command_runtime() -> Runtime:
    """Connect to the database, Redis and Twilio as configured."""
    settings = settings_or_exit()
    logs.configure(settings.model_copy(update={"log_level": "WARNING"}), stream=sys.stderr)
    sessions = make_sessions(settings.database_url, pool_size=2)
    return build_runtime(settings, sessions=sessions, celery=make_publisher(settings.redis), patient=False)
