"""Remove the bodies of sensitive messages: ours once nothing needs them, Twilio's once it allows that.

docs/decisions/0012-sensitive.md says what is promised and what is not.
"""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import structlog

from smsapp.messages import queries as messages
from smsapp.messages.fold import MessageState
from smsapp.retention import queries as redactions
from smsapp.retention.rules import is_settled_at_twilio, is_spent, look_again_at
from smsapp.runtime import Runtime
from smsapp.twilio.gateway import TwilioUnavailableError

log = structlog.get_logger(__name__)

_AT_ONCE = 8


def redact_messages(rt: Runtime, *, batch: int = 100) -> int:
    """Process every sensitive message that is due; return how many bodies are now gone, here and at Twilio."""
    gone = 0
    while not rt.stopping.is_set():
        looked_at, copies = _empty_ours(rt, batch)
        removal = _Removal(rt)
        removal.remove(list(copies))
        gone += _record(rt, looked_at, copies, removal)
        if len(looked_at) < batch or removal.refusal:
            break
    return gone


def _empty_ours(rt: Runtime, limit: int) -> tuple[dict[UUID, MessageState], dict[str, UUID]]:
    """Remove bodies that are no longer needed; return the messages read, and the copies that Twilio may remove now."""
    now = rt.clock()
    with rt.transaction() as tx:
        ids = redactions.due(tx.session, now=now, limit=limit)
        looked_at = messages.lock(tx.session, ids) if ids else {}
        redactions.empty(tx.session, [message.id for message in looked_at.values() if is_spent(message)])
        settled = {
            m.id: m.twilio_sid for m in looked_at.values() if is_spent(m) and is_settled_at_twilio(m, now)
        }
        copies = redactions.sids(tx.session, settled) if settled else {}
    return looked_at, copies


class _Removal:
    """Results of removal requests to Twilio. `refusal` is set when Twilio answers no request at present."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self.done: set[str] = set()
        self.refusal: TwilioUnavailableError | None = None

    def remove(self, sids: Sequence[str]) -> None:
        """Request each removal; stop when Twilio does not answer."""
        if not sids:
            return
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="redact") as pool:
            for _ in pool.map(self._remove, sids):
                pass

    def _remove(self, sid: str) -> None:
        if self.refusal or self._rt.stopping.is_set():
            return
        try:
            self._rt.gateway.redact(sid)
        except TwilioUnavailableError as error:
            if error.status == 404:
                self.done.add(sid)  # Twilio does not have it any more
            elif not error.concerns_one:
                self.refusal = error
                log.warning("redaction_paused", cause=str(error))
        else:
            self.done.add(sid)


def _record(
    rt: Runtime, looked_at: Mapping[UUID, MessageState], copies: Mapping[str, UUID], removal: _Removal
) -> int:
    """Finish messages that are gone everywhere, and set the next time for the rest."""
    if not looked_at:
        return 0
    now = rt.clock()
    left = {message_id for sid, message_id in copies.items() if sid not in removal.done}
    finished = [
        message.id
        for message in looked_at.values()
        if is_spent(message) and is_settled_at_twilio(message, now) and message.id not in left
    ]
    later = {
        message.id: look_again_at(message, now)
        for message in looked_at.values()
        if message.id not in finished
    }
    with rt.transaction() as tx:
        redactions.finish(tx.session, finished, now=now)
        redactions.postpone(tx.session, later)
    return len(finished)
