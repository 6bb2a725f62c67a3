"""How one piece of evidence changes one message: the only code that decides a status.

Everything here is pure. Callbacks, Twilio's answers and polls are `Report`s and can only move a message forward; our
own steps (claim, retry, give up) are `Step`s and are applied under the row's lock. Types that are allocated for each
callback are named tuples: creating one costs a fifth of a frozen dataclass.
"""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from smsapp.messages.carrier_time import carrier_time
from smsapp.messages.status import (
    BAD_NEWS,
    FINAL,
    GOOD_NEWS,
    Outcome,
    Status,
    bit_of,
    outcome_of,
    parse_status,
    supersedes,
)
from smsapp.twilio.error_codes import OWN_FAILURES


class Source(StrEnum):
    """Where a piece of evidence comes from."""

    REQUEST = "request"  # our caller
    API = "api"  # Twilio's answer to a create
    CALLBACK = "callback"
    POLL = "poll"
    SYSTEM = "system"
    OPERATOR = "operator"


class Reason(StrEnum):
    """Why a report changed nothing."""

    DUPLICATE = "duplicate"  # this callback is already recorded
    CONFIRMS = "confirms"  # the status was known already, from another source
    LATE = "late"  # the message has already moved past this status
    UNKNOWN_STATUS = "unknown_status"
    EARLIER_ATTEMPT = "earlier_attempt"
    OTHER_SID = "other_sid"  # the attempt is bound to another Twilio message


class MessageState(NamedTuple):
    """The part of a message that evidence can change, and the fields that identify it.

    `attempt` is the number of the current attempt, from 1, even before it is made. `resends_left` is how often a text
    that failed after Twilio had accepted it may be sent again. `steps_left` is the set of steps that remain of the
    caller's failure plan, as bits. `reported` is the set of statuses called back for the current attempt, as bits.
    `version` is the number of history entries. `due_at` is when a worker must next look at the message, None when no
    worker must. `actual_sender` is the sender that Twilio names for the current attempt, for instance the one that a
    Messaging Service chose. `carrier_at` is when the status happened by the carrier's clock, in UTC.
    """

    id: UUID
    status: Status
    attempt: int
    version: int
    created_at: datetime
    deliver_by: datetime | None = None
    resends_left: int = 0
    outcome: Outcome | None = None
    error_code: int | None = None
    twilio_sid: str | None = None
    reported: int = 0
    due_at: datetime | None = None
    num_segments: int | None = None
    price: str | None = None
    price_unit: str | None = None
    submitted_at: datetime | None = None
    sent_at: datetime | None = None
    finished_at: datetime | None = None
    updated_at: datetime | None = None
    request_id: str | None = None
    steps_left: int = 0
    actual_sender: str | None = None
    carrier_at: datetime | None = None


class Report(NamedTuple):
    """What Twilio reported about a message: in a callback, in a response, or when polled.

    `raw_status` is the status as Twilio spelled it. `attempt` is the submission that it concerns, None when only the
    SID identifies it. `received_at` is our clock at receipt: callbacks carry no time of their own. `poll_at` is when to
    poll Twilio next if this status is not final, None to leave the schedule as it is. `done_date` is the carrier's time
    as Twilio passes it on.
    """

    source: Source
    raw_status: str
    received_at: datetime
    receipt_id: UUID
    attempt: int | None = None
    twilio_sid: str | None = None
    error_code: int | None = None
    num_segments: int | None = None
    price: str | None = None
    price_unit: str | None = None
    poll_at: datetime | None = None
    payload: dict[str, object] | None = None
    sender: str | None = None
    done_date: str | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """Something that we did to a message: claimed it, requeued it, gave up on it, or applied an operator's decision."""

    source: Source
    status: Status
    attempt: int
    at: datetime
    receipt_id: UUID
    due_at: datetime | None
    error_code: int | None = None
    reason: str | None = None
    outcome: Outcome | None = None
    forgets_sid: bool = False
    payload: dict[str, object] | None = None


class Event(NamedTuple):
    """One entry of a message's history. `reason` says why a report was not applied, or why a step was taken.

    `repeats` is how often the same report came again and was only counted.
    """

    source: Source
    raw_status: str
    applied: bool
    reason: str | None
    attempt: int | None
    error_code: int | None
    twilio_sid: str | None
    received_at: datetime
    receipt_id: UUID
    payload: dict[str, object] | None = None
    carrier_at: datetime | None = None
    repeats: int = 0


def apply_report(message: MessageState, report: Report) -> tuple[MessageState, Event]:
    """Return the message as this report leaves it, and the history entry to append.

    Order does not matter and repetition is harmless: a report only ever moves the status to a higher rank.
    """
    status = parse_status(report.raw_status)
    reason = _why_not(message, report, status)
    changes: dict[str, Any] = {"version": message.version + 1, "updated_at": report.received_at}
    carrier_at = _carrier_at(message, report)
    if status is not None and reason is None:
        changes |= _advance(message, report, status)
        changes["carrier_at"] = carrier_at
    elif carrier_at and reason in {Reason.CONFIRMS, Reason.DUPLICATE}:
        changes["carrier_at"] = message.carrier_at or carrier_at
    if not _foreign(message, report):
        changes |= _enrich(message, report, status, changes)
    event = Event(
        source=report.source,
        raw_status=report.raw_status,
        applied=reason is None,
        reason=reason,
        attempt=report.attempt if report.attempt is not None else message.attempt,
        error_code=report.error_code,
        twilio_sid=report.twilio_sid,
        received_at=report.received_at,
        receipt_id=report.receipt_id,
        payload=report.payload,
        carrier_at=carrier_at,
    )
    return message._replace(**changes), event


def only_repeats(before: MessageState, after: MessageState, event: Event) -> bool:
    """Return whether a report said nothing that its message did not know, not even where it came from."""
    return event.reason == Reason.DUPLICATE and before == after._replace(
        version=before.version, updated_at=before.updated_at
    )


def apply_step(message: MessageState, step: Step) -> tuple[MessageState, Event]:
    """Return the message after our own step, and the history entry to append.

    The caller holds the row's lock and has checked that the step is still due. A new attempt clears the SID and the
    statuses reported for the previous attempt. A step that keeps the status keeps the outcome, unless it sets one.
    """
    new_attempt = step.attempt != message.attempt
    kept = message.outcome if step.status is message.status and not new_attempt else outcome_of(step.status)
    after = message._replace(
        status=step.status,
        attempt=step.attempt,
        due_at=step.due_at,
        version=message.version + 1,
        updated_at=step.at,
        twilio_sid=None if new_attempt or step.forgets_sid else message.twilio_sid,
        reported=0 if new_attempt else message.reported,
        outcome=step.outcome or kept,
        error_code=step.error_code if step.status in FINAL or step.error_code else message.error_code,
        submitted_at=None if new_attempt else message.submitted_at,
        sent_at=None if new_attempt else message.sent_at,
        finished_at=step.at if step.status in FINAL else None,
        actual_sender=None if new_attempt or step.forgets_sid else message.actual_sender,
        carrier_at=None if new_attempt else message.carrier_at,
    )
    event = Event(
        source=step.source,
        raw_status=step.status,
        applied=True,
        reason=step.reason,
        attempt=step.attempt,
        error_code=step.error_code,
        # This is our reading of an answer without a SID. With a SID, the entry would look like Twilio's own report on
        # it.
        twilio_sid=None if step.source is Source.API else after.twilio_sid,
        received_at=step.at,
        receipt_id=step.receipt_id,
        payload=step.payload,
    )
    return after, event


def record_only(message: MessageState, step: Step) -> tuple[MessageState, Event]:
    """Return the message with a step in its history that changes nothing else, such as one that came too late."""
    after, event = apply_step(message, step)
    return message._replace(version=after.version), event._replace(applied=False)


def _why_not(message: MessageState, report: Report, status: Status | None) -> Reason | None:
    if status is None:
        return Reason.UNKNOWN_STATUS
    if _foreign(message, report):
        # A text that reached the phone counts as delivered, even if it belongs to an earlier attempt.
        if status in GOOD_NEWS and supersedes(status, message.status):
            return None
        return Reason.EARLIER_ATTEMPT if _earlier(message, report) else Reason.OTHER_SID
    if supersedes(status, message.status):
        return None
    if report.source is Source.CALLBACK and message.reported & bit_of(status):
        return Reason.DUPLICATE
    return Reason.CONFIRMS if status is message.status else Reason.LATE


def _earlier(message: MessageState, report: Report) -> bool:
    return report.attempt is not None and report.attempt < message.attempt


def _foreign(message: MessageState, report: Report) -> bool:
    """Return whether the report is about a Twilio message other than the current attempt's."""
    if _earlier(message, report):
        return True
    return bool(message.twilio_sid and report.twilio_sid and message.twilio_sid != report.twilio_sid)


def _advance(message: MessageState, report: Report, status: Status) -> dict[str, Any]:
    final = status in FINAL
    return {
        "status": status,
        "outcome": outcome_of(status),
        "error_code": message.error_code if {status, message.status} <= BAD_NEWS else None,
        "due_at": None if final else message.due_at,
        "submitted_at": message.submitted_at or report.received_at,
        "sent_at": message.sent_at or (report.received_at if status is Status.SENT else None),
        "finished_at": (message.finished_at or report.received_at) if final else None,
    }


def _carrier_at(message: MessageState, report: Report) -> datetime | None:
    if report.done_date is None:
        return None
    since = None if _foreign(message, report) else message.submitted_at
    return carrier_time(report.done_date, since=since or message.created_at, until=report.received_at)


def _enrich(
    message: MessageState, report: Report, status: Status | None, changes: dict[str, Any]
) -> dict[str, Any]:
    """Return what a report on the current attempt adds besides the status, whether or not it moved the message.

    An unknown status counts too: it proves that Twilio has the message, and under which SID.
    """
    reached: Status = changes.get("status", message.status)
    code: int | None = changes.get("error_code", message.error_code)
    due_at: datetime | None = changes.get("due_at", message.due_at)
    return {
        "error_code": _error_code(code, report, status, reached),
        "twilio_sid": message.twilio_sid or report.twilio_sid,
        "reported": message.reported | bit_of(status)
        if status and report.source is Source.CALLBACK
        else message.reported,
        "num_segments": report.num_segments or message.num_segments,
        "price": report.price or message.price,
        "price_unit": report.price_unit or message.price_unit,
        "actual_sender": message.actual_sender or report.sender,
        "due_at": due_at if reached in FINAL else (report.poll_at or due_at),
    }


def _error_code(code: int | None, report: Report, status: Status | None, reached: Status) -> int | None:
    """Return the code that explains the status that the message has reached.

    A code counts only with a failure (Twilio puts codes on other callbacks too), and a report without a code never
    erases one. Among several codes the winner does not depend on their order: Twilio's take precedence over our own,
    then the lowest wins.
    """
    if report.error_code is None or status not in BAD_NEWS or reached not in BAD_NEWS:
        return code
    codes = [report.error_code] if code is None else [code, report.error_code]
    return min(codes, key=lambda each: (each in OWN_FAILURES, each))
