"""Wake those who push events as soon as a transaction that wrote some is committed."""

import time
from collections.abc import Callable

from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from smsapp.events import outbox
from smsapp.webhooks import subscription_queries as subscriptions

_LOOK_EVERY_S = 5.0
"""How long a process may not know of the first consumer; until then, the sweep wakes in its place."""


class PushWake:
    """Calls `wake` after each commit with new events, unless nobody has subscribed: then events cost nothing here."""

    def __init__(self, sessions: sessionmaker[Session], wake: Callable[[], object]) -> None:
        self._wake = wake
        self._looked_at = -_LOOK_EVERY_S
        self._wanted = False
        event.listen(sessions, "before_commit", self._before_commit)
        event.listen(sessions, "after_commit", self._after_commit)

    def _before_commit(self, session: Session) -> None:
        if not outbox.tells(session) or time.monotonic() - self._looked_at < _LOOK_EVERY_S:
            return
        self._looked_at = time.monotonic()
        self._wanted = subscriptions.anyone_listens(session)

    def _after_commit(self, session: Session) -> None:
        if outbox.told(session) and self._wanted:
            self._wake()
