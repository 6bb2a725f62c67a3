"""End claims whose worker died: Twilio may have those messages."""

from smsapp.ids import new_id
from smsapp.lifecycle.log_changes import log_changes
from smsapp.messages import queries as messages
from smsapp.messages.fold import Source, Step, take
from smsapp.messages.queries import Change
from smsapp.messages.status import Status
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.twilio.error_codes import OwnCode

_BATCH = 500


def expire_claims(rt: Runtime) -> int:
    """Turn messages whose worker died while submitting into unconfirmed ones: they may be at Twilio, or not."""
    now = rt.clock()
    with rt.sessions.begin() as session:
        locked = messages.lock(session, claims.expired_claims(session, now=now, limit=_BATCH))
        changes = []
        for message in locked.values():
            if message.status is not Status.SUBMITTING or message.due_at is None or message.due_at > now:
                continue
            step = Step(
                source=Source.SYSTEM,
                status=Status.UNCONFIRMED,
                attempt=message.attempt,
                at=now,
                receipt_id=new_id(),
                due_at=now,
                error_code=OwnCode.ANSWER_LOST,
                reason="worker_lost",
            )
            after, event = take(message, step)
            changes.append(Change(message, after, [event]))
        messages.save(session, changes)
    log_changes(changes)
    return len(changes)
