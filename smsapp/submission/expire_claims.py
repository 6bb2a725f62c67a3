"""End claims whose worker died: Twilio may have those messages."""

from datetime import datetime
from functools import partial

from smsapp.ids import new_id
from smsapp.lifecycle.apply import apply
from smsapp.messages.fold import Event, MessageState, Source, Step, apply_step
from smsapp.messages.status import Status
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.twilio.error_codes import OwnCode

_BATCH = 500


def expire_claims(rt: Runtime) -> int:
    """Mark messages whose worker died during submission as unconfirmed: Twilio may have them."""
    now = rt.clock()
    with rt.transaction() as tx:
        expired = claims.expired_claims(tx.session, now=now, limit=_BATCH)
        return len(apply(rt, tx, expired, partial(_expired, now=now)))


def _expired(message: MessageState, *, now: datetime) -> tuple[MessageState, Event] | None:
    if message.status is not Status.SUBMITTING or message.due_at is None or message.due_at > now:
        return None
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
    return apply_step(message, step)
