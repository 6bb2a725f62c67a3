"""Which messages missed their deadline, and what that makes of them."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from smsapp.lifecycle.deadline import miss, was_missed
from smsapp.messages.fold import MessageState
from smsapp.messages.status import FINAL, Outcome, Status
from smsapp.twilio.error_codes import OwnCode

DEADLINE = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
NOW = DEADLINE + SECOND
PENDING = MessageState(
    uuid4(),
    Status.PENDING,
    attempt=1,
    version=1,
    created_at=DEADLINE - SECOND,
    deliver_by=DEADLINE,
    due_at=NOW,
)


def ended(status: Status, at: datetime, **changes: Any) -> MessageState:
    return PENDING._replace(status=status, finished_at=at, due_at=None, **changes)


@pytest.mark.parametrize("status", [status for status in Status if status not in FINAL])
def test_what_has_not_ended_by_then_missed_it(status: Status) -> None:
    assert was_missed(PENDING._replace(status=status))


@pytest.mark.parametrize("status", [Status.DELIVERED, Status.READ])
def test_what_was_delivered_in_time_did_not(status: Status) -> None:
    assert not was_missed(ended(status, DEADLINE))
    assert was_missed(ended(status, NOW))


def test_a_receipt_that_came_late_counts_from_the_carriers_time() -> None:
    late = ended(Status.DELIVERED, DEADLINE + timedelta(minutes=5))

    assert was_missed(late)
    assert not was_missed(late._replace(carrier_at=DEADLINE - timedelta(minutes=1)))
    assert was_missed(late._replace(carrier_at=DEADLINE + timedelta(minutes=2)))


@pytest.mark.parametrize(
    ("status", "code", "at", "missed"),
    [
        (Status.UNDELIVERED, 30005, DEADLINE - SECOND, False),
        (Status.UNDELIVERED, 30005, NOW, True),
        (
            Status.FAILED,
            int(OwnCode.DEADLINE_MISSED),
            DEADLINE - SECOND,
            True,
        ),  # the next try would be too late
        (Status.FAILED, 30036, DEADLINE - SECOND, True),
        (Status.CANCELED, None, NOW, False),
    ],
)
def test_what_ended_badly_missed_it_when_it_ended_for_that(
    status: Status, code: int | None, at: datetime, *, missed: bool
) -> None:
    assert was_missed(ended(status, at, error_code=code)) is missed


def test_without_a_deadline_there_is_nothing_to_miss() -> None:
    assert not was_missed(PENDING._replace(deliver_by=None))


@pytest.mark.parametrize(
    ("known", "told"), [(None, OwnCode.DEADLINE_MISSED), (1, OwnCode.DEADLINE_MISSED), (20003, 20003)]
)
def test_what_waits_here_fails(known: int | None, told: int) -> None:
    after, event = miss(PENDING._replace(error_code=known), now=NOW, receipt_id=uuid4())

    assert (after.status, after.outcome, after.error_code) == (Status.FAILED, Outcome.FAILED, told)
    assert (after.due_at, after.finished_at) == (None, NOW)
    assert (event.applied, event.reason) == (True, "deadline_missed")


@pytest.mark.parametrize("status", [status for status in Status if status is not Status.PENDING])
def test_what_is_under_way_or_over_only_gets_a_line_in_its_history(status: Status) -> None:
    before = PENDING._replace(status=status)

    after, event = miss(before, now=NOW, receipt_id=uuid4())

    assert after._replace(version=before.version) == before
    assert (event.raw_status, event.applied, event.reason) == (status, False, "deadline_missed")
