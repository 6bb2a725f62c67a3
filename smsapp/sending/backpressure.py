"""Refuse new messages before memory runs out: we owe what we accept, so the limit must apply before we accept.

Callbacks are never refused for this: they report on messages that we have already accepted.
"""

import time
from datetime import timedelta

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from smsapp.db.sessions import reading
from smsapp.pacing import due
from smsapp.queue.overload import OverloadedError
from smsapp.runtime import Runtime

log = structlog.get_logger(__name__)

LOOK_EVERY = timedelta(seconds=5)


class Backpressure:
    """Checks the queue lengths every few seconds, not on every request."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._look_at = 0.0
        self._crowded: str | None = None

    def check(self) -> None:
        """Return if a new message may be accepted.

        Raises:
            OverloadedError: the callback stream, or the number of due messages, has reached its limit.
        """
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY.total_seconds()
            self._crowded = self._look()
        if self._crowded:
            raise OverloadedError(self._crowded)

    def _look(self) -> str | None:
        limits = self._rt.settings
        try:
            if self._rt.stream.length() >= limits.max_stream_length:
                log.warning("overloaded", what="callbacks")
                return "callbacks"
        except (RedisError, OSError):
            pass  # without Redis, messages are still accepted, and callbacks go to the spool
        try:
            with reading(self._rt.sessions) as session:
                if due.has_more_due_than(session, limits.max_due_messages, now=self._rt.clock()):
                    log.warning("overloaded", what="messages")
                    return "messages"
        except SQLAlchemyError:
            pass  # the insert will fail too, and report why
        return None
