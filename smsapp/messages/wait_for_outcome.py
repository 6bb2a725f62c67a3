"""Wait until a message has an outcome, at the cost of two queries however long that takes."""

import time
from typing import Any
from uuid import UUID

from smsapp.db.sessions import reading
from smsapp.messages import reads
from smsapp.messages.models import Message
from smsapp.news.desk import NewsDesk
from smsapp.news.hang_ups import on_hang_up
from smsapp.news.places import Places
from smsapp.runtime import Runtime
from smsapp.web.auth import Caller


class OutcomeWaits:
    """The requests of this process that wait for outcomes."""

    def __init__(self, rt: Runtime, desk: NewsDesk) -> None:
        self._rt = rt
        self._desk = desk
        self._places = Places(
            "outcomes", most=rt.settings.max_waits, most_per_key=rt.settings.max_waits_per_key
        )

    def find(self, message_id: UUID, caller: Caller, *, seconds: float, client: Any) -> Message | None:
        """Return a message of the caller's application once it has an outcome or the seconds are over, or None.

        `client` is the socket of the caller, if it is known: whoever hangs up is waited for no longer.

        Raises:
            OverloadedError: too many requests wait already.
        """
        until = time.monotonic() + seconds
        with self._desk.for_outcome(
            message_id
        ) as wait:  # before reading, so that no outcome comes in between
            message = self._read(message_id, caller)
            if message is None or message.outcome or not seconds:
                return message
            with self._places.taken(caller.key_id), on_hang_up(client, wait.abandon):
                while wait.goes_on and time.monotonic() < until:
                    wait.sleep(until - time.monotonic())
                    if wait.abandoned:
                        break
                    with self._desk.answering():
                        message = self._read(message_id, caller)
                    if message is None or message.outcome:
                        break
        return message

    def _read(self, message_id: UUID, caller: Caller) -> Message | None:
        with reading(self._rt.sessions) as session:
            return reads.get_owned(session, message_id, caller.application_id)
