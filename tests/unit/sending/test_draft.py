"""Which times a request may name."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smsapp.sending.draft import MAX_AHEAD, time_fault

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def fault(**times: Any) -> tuple[str, str] | None:
    found = time_fault(**{"send_at": None, "deliver_by": None} | times, now=NOW)
    return found and (found.field, found.code)


@pytest.mark.parametrize(
    "times",
    [
        {},
        {"send_at": NOW + SECOND},
        {"send_at": NOW + MAX_AHEAD},
        {"deliver_by": NOW + SECOND},
        {"send_at": NOW + SECOND, "deliver_by": NOW + 2 * SECOND},
    ],
    ids=str,
)
def test_times_to_come_are_taken(times: dict[str, datetime]) -> None:
    assert fault(**times) is None


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ({"send_at": NOW}, ("send_at", "past")),
        ({"send_at": NOW - SECOND}, ("send_at", "past")),
        ({"send_at": NOW + MAX_AHEAD + SECOND}, ("send_at", "out_of_range")),
        ({"deliver_by": NOW}, ("deliver_by", "past")),
        ({"send_at": NOW + SECOND, "deliver_by": NOW + SECOND}, ("deliver_by", "invalid")),
    ],
    ids=str,
)
def test_times_that_cannot_be_kept_are_refused(times: dict[str, datetime], expected: tuple[str, str]) -> None:
    assert fault(**times) == expected
