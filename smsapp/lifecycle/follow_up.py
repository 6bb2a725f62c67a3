"""Do what is to be done about messages that have failed: the caller's plan, or sending again by the error table."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from smsapp.events import outbox
from smsapp.events.types import EventType, Outgoing
from smsapp.ids import new_id
from smsapp.lifecycle import plan_queries as plans
from smsapp.lifecycle.failure_plan import Do, Followed, follow_late, follow_plan, parse_plan
from smsapp.lifecycle.resend import has_just_failed, resend
from smsapp.messages import queries as messages
from smsapp.messages.queries import Change
from smsapp.runtime import Runtime


def follow_up(rt: Runtime, session: Session, changes: Sequence[Change]) -> list[Change]:
    """Take the next step for those of the changed messages that have just failed; return what that changed.

    The caller has saved the changes, and commits.
    """
    failed = [c for c in changes if has_just_failed(c.before, c.after)]
    resent = [again for change in failed if change.after.resends_left and (again := _resend(rt, change))]
    # By itself: a SID that came with the bad news is known to belong to the attempt that it ended.
    messages.save(session, resent)
    planned = [change for change in failed if change.after.steps_left]
    return resent + (_follow_plans(rt, session, planned) if planned else [])


def follow_late_ones(rt: Runtime, session: Session, changes: Sequence[Change]) -> list[Change]:
    """Do what is to be done about messages at Twilio whose deadline has passed."""
    under_way = {c.after.id: c.after for c in changes if c.after.steps_left and c.after.outcome is None}
    followed = []
    for message_id, (document, _) in plans.of(session, list(under_way)).items() if under_way else ():
        message = under_way[message_id]
        step = follow_late(message, parse_plan(document), now=rt.clock(), receipt_id=new_id())
        if step:
            followed.append((Change(message, step.message, [step.event]), step))
    return _save(session, followed)


def _resend(rt: Runtime, change: Change) -> Change | None:
    decided = resend(change.before, change.after, now=rt.clock(), receipt_id=new_id(), rng=rt.rng)
    return decided and Change(change.after, decided[0], [decided[1]])


def _follow_plans(rt: Runtime, session: Session, failed: Sequence[Change]) -> list[Change]:
    found = plans.of(session, [change.after.id for change in failed])
    followed = []
    for change in failed:
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
    return _save(session, followed)


def _save(session: Session, followed: Sequence[tuple[Change, Followed]]) -> list[Change]:
    changes = [change for change, _ in followed]
    messages.save(session, changes)
    for change, taken in followed:
        step = taken.step
        if step.readdresses:
            plans.readdress(
                session,
                change.after.id,
                sender=step.sender,
                messaging_service_sid=step.messaging_service_sid,
            )
        if step.do is Do.REQUEST_FALLBACK:
            outbox.add(session, _fallback_requested(change, taken))
    return changes


def _fallback_requested(change: Change, taken: Followed) -> Outgoing:
    return Outgoing(
        EventType.FALLBACK_REQUESTED,
        new_id(),
        change.events[-1].received_at,
        change.after.id,
        change.before.version + len(change.events),
        data={"step": taken.number},
    )
