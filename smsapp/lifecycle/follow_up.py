"""What follows when messages fail: the next step of the caller's plan, or a resend by the error table."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.lifecycle import plan_queries as plans
from smsapp.lifecycle.failure_plan import Do, Followed, follow_late, follow_plan, parse_plan
from smsapp.lifecycle.resend import resend
from smsapp.messages.queries import Change
from smsapp.ports import PendingEvent
from smsapp.runtime import Runtime, Transaction


def resends(rt: Runtime, failed: Sequence[Change]) -> list[Change]:
    """Return new attempts for the messages that have just failed and that the error table says to resend."""
    return [again for change in failed if change.after.resends_left and (again := _resend(rt, change))]


def plan_steps(rt: Runtime, session: Session, failed: Sequence[Change]) -> list[tuple[Change, Followed]]:
    """Return the next steps of the plans of messages that have just failed."""
    planned = [change for change in failed if change.after.steps_left]
    found = plans.of(session, [change.after.id for change in planned]) if planned else {}
    followed = []
    for change in planned:
        document, segments = found[change.after.id]
        step = follow_plan(
            change.before,
            change.after,
            parse_plan(document),
            segments=change.after.num_segments or segments,
            now=rt.clock(),
            receipt_id=new_id(),
            rng=rt.rng,
        )
        if step:
            followed.append((Change(change.after, step.message, [step.event]), step))
    return followed


def late_steps(rt: Runtime, session: Session, changes: Sequence[Change]) -> list[tuple[Change, Followed]]:
    """Return the next plan steps of messages that are still at Twilio after their deadline."""
    under_way = {c.after.id: c.after for c in changes if c.after.steps_left and c.after.outcome is None}
    followed = []
    for message_id, (document, _) in plans.of(session, list(under_way)).items() if under_way else ():
        message = under_way[message_id]
        step = follow_late(message, parse_plan(document), now=rt.clock(), receipt_id=new_id())
        if step:
            followed.append((Change(message, step.message, [step.event]), step))
    return followed


def write_step(tx: Transaction, change: Change, taken: Followed) -> None:
    """Write what a step changes besides the status, and emit its event."""
    step = taken.step
    if step.readdresses:
        plans.readdress(
            tx.session,
            change.after.id,
            sender=step.sender,
            messaging_service_sid=step.messaging_service_sid,
        )
    if step.do is Do.REQUEST_FALLBACK:
        tx.emit(
            PendingEvent(
                EventType.FALLBACK_REQUESTED,
                new_id(),
                change.events[-1].received_at,
                change.after.id,
                change.before.version + len(change.events),
                data={"step": taken.number},
            )
        )


def _resend(rt: Runtime, change: Change) -> Change | None:
    decided = resend(change.before, change.after, now=rt.clock(), receipt_id=new_id(), rng=rt.rng)
    return decided and Change(change.after, decided[0], [decided[1]])
