"""Fold reports into messages inside one transaction: callbacks, Twilio's answers and polls all come through here."""

from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from smsapp.ids import new_id
from smsapp.lifecycle.apply import conclude
from smsapp.lifecycle.count_repeats import RepeatCounter
from smsapp.messages import queries as messages
from smsapp.messages.fold import (
    Event,
    MessageState,
    Report,
    Source,
    Step,
    apply_report,
    apply_step,
    only_repeats,
)
from smsapp.messages.queries import Change
from smsapp.messages.refold import SID_IS_ANOTHERS
from smsapp.messages.status import Status, bit_of, parse_status
from smsapp.runtime import Runtime, Transaction
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import TwilioMessage


class TargetedReport(NamedTuple):
    """A report and the message it names; None when only its SID identifies it."""

    message_id: UUID | None
    report: Report


def record_reports(
    rt: Runtime, tx: Transaction, reports: Sequence[TargetedReport]
) -> tuple[list[Change], list[TargetedReport]]:
    """Store the reports in the histories of their messages and move those messages forward.

    Returns the changes, and the reports whose message is unknown. The caller's transaction commits.

    Raises:
        StaleMessageError: another transaction changed a message first; retry the whole transaction.
    """
    ids = {item.message_id for item in reports if item.message_id}
    sids = {item.report.twilio_sid for item in reports if item.report.twilio_sid}
    before, owners = messages.lock_for_reports(tx.session, list(ids), list(sids))

    returned = _return_sids(rt, tx, reports, before, owners)

    after = dict(before)
    events: dict[UUID, list[Event]] = {}
    unknown: list[TargetedReport] = []
    repeats = RepeatCounter(tx.session, _suspects(reports, before, owners))
    for item in reports:
        found = _find(item, after, owners)
        if found is None:
            unknown.append(item)
            continue
        message, report = found
        changed, event = apply_report(message, report)
        entries = events.setdefault(message.id, [])
        if only_repeats(message, changed, event) and repeats.count(message.id, event, entries):
            continue
        after[message.id] = changed
        entries.append(event)
    repeats.write()

    changes = [
        Change(before[message_id], after[message_id], kept) for message_id, kept in events.items() if kept
    ]
    return [*returned, *conclude(rt, tx, changes)], unknown


def _suspects(
    reports: Sequence[TargetedReport],
    known: dict[UUID, MessageState],
    owners: dict[str, tuple[UUID, int | None]],
) -> set[UUID]:
    """Return the messages that were called back with one of these statuses before."""
    suspects = set()
    for item in reports:
        if item.report.source is Source.CALLBACK and (found := _find(item, known, owners)):
            status = parse_status(item.report.raw_status)
            if status and found[0].reported & bit_of(status):
                suspects.add(found[0].id)
    return suspects


def _return_sids(
    rt: Runtime,
    tx: Transaction,
    reports: Sequence[TargetedReport],
    messages_by_id: dict[UUID, MessageState],
    owners: dict[str, tuple[UUID, int | None]],
) -> list[Change]:
    """Remove SIDs that were adopted by a guess: callbacks and answers prove which message a SID belongs to.

    The listing can confuse only identical texts to one number whose answers were all lost.
    """
    returned = []
    for item in reports:
        sid = item.report.twilio_sid
        if sid not in owners or item.message_id not in messages_by_id or item.report.source is Source.POLL:
            continue
        owner_id, attempt = owners[sid]
        if owner_id == item.message_id or attempt is not None:
            continue
        owner = messages_by_id[owner_id]
        step = Step(
            source=Source.SYSTEM,
            status=Status.UNCONFIRMED,
            attempt=owner.attempt,
            at=rt.clock(),
            receipt_id=new_id(),
            due_at=rt.clock(),
            error_code=OwnCode.ANSWER_LOST,
            reason=SID_IS_ANOTHERS,
            forgets_sid=True,
        )
        messages_by_id[owner_id], event = apply_step(owner, step)
        returned += conclude(rt, tx, [Change(owner, messages_by_id[owner_id], [event])])
        del owners[sid]
    return returned


def report_of(
    found: TwilioMessage, source: Source, *, attempt: int, now: datetime, poll_at: datetime
) -> Report:
    """Return Twilio's answer as a report; of a poll, the history keeps the sender as of a callback."""
    return Report(
        source=source,
        raw_status=found.status,
        received_at=now,
        receipt_id=new_id(),
        attempt=attempt,
        twilio_sid=found.sid,
        error_code=found.error_code,
        num_segments=found.num_segments,
        price=found.price,
        price_unit=found.price_unit,
        poll_at=poll_at,
        payload={"From": found.sender} if found.sender and source is Source.POLL else None,
        sender=found.sender,
    )


def _find(
    item: TargetedReport, known: dict[UUID, MessageState], owners: dict[str, tuple[UUID, int | None]]
) -> tuple[MessageState, Report] | None:
    """Return the message a report is about, and the report with the attempt that its SID belongs to."""
    if item.message_id in known:
        return known[item.message_id], item.report
    owner = owners.get(item.report.twilio_sid or "")
    if owner is None:
        return None
    message_id, attempt = owner
    return known[message_id], item.report._replace(attempt=attempt)
