"""Which changes consumers hear of: every final state once, every correction, and no step of ours in between."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from smsapp.events.types import EventType, events_for
from smsapp.ids import new_id
from smsapp.messages.fold import (
    Event,
    MessageState,
    Report,
    Source,
    Step,
    apply_report,
    apply_step,
    record_only,
)
from smsapp.messages.refold import HELD, NEVER_CONFIRMED, SID_IS_ANOTHERS
from smsapp.messages.status import Outcome, Status

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NEW = MessageState(new_id(), Status.PENDING, 1, 1, NOW)

Emitted = tuple[EventType, int]


def report(raw_status: str, *, attempt: int = 1) -> Report:
    return Report(Source.CALLBACK, raw_status, NOW, new_id(), attempt=attempt, twilio_sid=f"SM{attempt:032x}")


def step(
    status: Status, *, attempt: int = 1, reason: str | None = None, outcome: Outcome | None = None
) -> Step:
    return Step(
        Source.SYSTEM, status, attempt, NOW, new_id(), due_at=None, reason=reason, outcome=outcome,
        forgets_sid=reason == SID_IS_ANOTHERS,
    )  # fmt: skip


def happen(message: MessageState, *evidence: Report | Step) -> tuple[MessageState, list[Event]]:
    events = []
    for piece in evidence:
        message, event = (
            apply_report(message, piece) if isinstance(piece, Report) else apply_step(message, piece)
        )
        events.append(event)
    return message, events


def told(message: MessageState, evidence: Sequence[Report | Step]) -> list[Emitted]:
    """Return what is told when all the evidence comes at once."""
    after, events = happen(message, *evidence)
    return [(each.type, each.event_seq or 0) for each in events_for(message, after, events)]


def told_singly(message: MessageState, evidence: Sequence[Report | Step]) -> list[Emitted]:
    """Return what is told when each piece comes by itself."""
    found: list[Emitted] = []
    for piece in evidence:
        found += told(message, [piece])
        message, _ = happen(message, piece)
    return found


CASES = {
    "steps on the way tell nothing": (["submitting", "queued", "sending"], []),
    "handed to the carrier and delivered": (["queued", "sent", "delivered"], ["sent", "delivered"]),
    "a receipt before the word sent": (["delivered", "sent"], ["delivered"]),
    "repetitions": (["sent", "sent", "delivered", "delivered"], ["sent", "delivered"]),
    "read after delivered": (["delivered", "read"], ["delivered"]),
    "read at once": (["read"], ["delivered"]),
    "undelivered": (["sent", "undelivered"], ["sent", "undelivered"]),
    "failed": (["failed"], ["failed"]),
    "canceled": (["canceled"], ["canceled"]),
    "corrected to delivered": (["undelivered", "delivered"], ["undelivered", "revised"]),
    "corrected twice": (["failed", "undelivered", "read"], ["failed", "revised", "revised"]),
    "a word that nobody knows": (["queued", "flying", "sent"], ["sent"]),
    "unconfirmed is not told while it may be settled": (["unconfirmed", "queued"], []),
    "held, then found": (["unconfirmed", "held", "queued", "delivered"], ["unconfirmed", "revised", "delivered"]),
    "never confirmed, then delivered": (["sent", "never", "delivered"], ["sent", "unconfirmed", "revised"]),
    "never confirmed, with more evidence of before": (["sent", "never", "queued"], ["sent", "unconfirmed"]),
    "a SID that was another's": (["delivered", "another", "delivered"], ["delivered", "revised", "delivered"]),
    "sent again after a failure": (
        ["sent", "undelivered", "again", "submitting 2", "sent 2", "delivered 2"],
        ["sent", "undelivered", "revised", "sent", "delivered"],
    ),
}  # fmt: skip


def pieces(words: Sequence[str]) -> list[Report | Step]:
    steps = {
        "submitting": step(Status.SUBMITTING, reason="claimed"),
        "submitting 2": step(Status.SUBMITTING, attempt=2, reason="claimed"),
        "unconfirmed": step(Status.UNCONFIRMED, reason="worker_lost"),
        "held": step(Status.UNCONFIRMED, reason=HELD, outcome=Outcome.UNCONFIRMED),
        "never": step(Status.SENT, reason=NEVER_CONFIRMED, outcome=Outcome.UNCONFIRMED),
        "another": step(Status.UNCONFIRMED, reason=SID_IS_ANOTHERS),
        "again": step(Status.PENDING, attempt=2, reason="resend"),
    }
    return [
        steps.get(raw_status)
        or report(raw_status.partition(" ")[0], attempt=2 if raw_status.endswith("2") else 1)
        for raw_status in words
    ]


@pytest.mark.parametrize("label", CASES)
@pytest.mark.parametrize("hear", [told, told_singly])
def test_consumers_hear_the_same_whatever_came_in_one_batch(label: str, hear: object) -> None:
    words, expected = CASES[label]
    assert callable(hear)

    heard = hear(NEW, pieces(words))

    assert [str(kind).removeprefix("message.") for kind, _ in heard] == expected


@pytest.mark.parametrize("label", CASES)
def test_each_event_names_the_line_that_it_tells_of(label: str) -> None:
    evidence = pieces(CASES[label][0])
    assert told(NEW, evidence) == told_singly(NEW, evidence)

    after, events = happen(NEW, *evidence)
    heard = list(events_for(NEW, after, events))

    lines = dict(enumerate(events, start=NEW.version + 1))
    assert [(each.id, each.occurred_at) for each in heard] == [
        (lines[each.event_seq or 0].receipt_id, lines[each.event_seq or 0].received_at) for each in heard
    ]
    assert {each.message_id for each in heard} <= {NEW.id}


def test_what_came_too_late_to_change_anything_is_not_told() -> None:
    done, _ = happen(NEW, report("delivered"))

    after, event = record_only(done, step(Status.FAILED))

    assert list(events_for(done, after, [event])) == []


def test_only_an_end_that_is_taken_back_reopens() -> None:
    ended, _ = happen(NEW, report("undelivered"))

    after, events = happen(ended, step(Status.PENDING, attempt=2))
    corrected, more = happen(ended, report("delivered")._replace(received_at=NOW + timedelta(hours=1)))

    assert [each.reopens for each in events_for(ended, after, events)] == [True]
    assert [each.reopens for each in events_for(ended, corrected, more)] == [False]
