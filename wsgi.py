"""The web process's entry point: `gunicorn wsgi:app`."""

import signal
from types import FrameType
from typing import Any

from smsapp import logs
from smsapp.app import create_app
from smsapp.config import load_settings
from smsapp.events.watch_feed import FeedWatch
from smsapp.web.wiring import provided

settings = load_settings()
logs.configure(settings)
app = create_app(settings)


def _end_streams(then: Any) -> None:
    """End event streams when the process is asked to stop: the server waits for open requests."""

    def end(number: int, frame: FrameType | None) -> None:
        provided(FeedWatch, app).ending = True
        if callable(then):
            then(number, frame)

    signal.signal(signal.SIGTERM, end)


_end_streams(signal.getsignal(signal.SIGTERM))
