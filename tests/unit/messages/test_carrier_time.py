"""The carrier's time: ten digits without a zone, which must be right, unknown, or none, and never an error."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.messages.carrier_time import carrier_time, ended_at, latency_s

SINCE = datetime(2026, 11, 23, 12, 0, 30, tzinfo=UTC)
UNTIL = SINCE + timedelta(seconds=8)
NOON = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("raw", "means"),
    [
        pytest.param("2611231200", NOON, id="UTC, its seconds cut off"),
        pytest.param("2611231157", NOON - timedelta(minutes=3), id="a clock that is late"),
        pytest.param("2611231204", NOON + timedelta(minutes=4), id="a clock that is ahead"),
        pytest.param("2611231300", NOON, id="central Europe"),
        pytest.param("2611230700", NOON, id="New York"),
        pytest.param("2611231730", NOON, id="India"),
        pytest.param("2611231745", NOON, id="Nepal"),
        pytest.param("2611230830", NOON, id="Newfoundland"),
        pytest.param("2611240200", NOON, id="Kiritimati, the next day"),
        pytest.param("2611222330", None, id="no place on earth"),
        pytest.param("2611211200", None, id="two days ago"),
        pytest.param("2511231200", None, id="a year ago"),
    ],
)
def test_the_zone_is_the_one_in_which_it_can_have_happened(raw: str, means: datetime | None) -> None:
    assert carrier_time(raw, since=SINCE, until=UNTIL) == means


def test_a_receipt_that_came_late_is_read_in_utc_if_it_can_be() -> None:
    until = SINCE + timedelta(hours=5)

    assert carrier_time("2611231210", since=SINCE, until=until) == NOON + timedelta(minutes=10)


def test_of_two_zones_that_are_possible_neither_is_guessed() -> None:
    assert carrier_time("2611232100", since=SINCE, until=SINCE + timedelta(hours=5)) is None


@pytest.mark.parametrize(
    "raw",
    [None, "", "0", "261123120", "26112312000", "2613231200", "2602301200", "2611232460", "26112312 0", "-611231200",
     "26112312\uff10\uff10", "\u0662611231200"[:10], "2611231200Z", "null", "\x00" * 10],
)  # fmt: skip
def test_garbage_is_no_time(raw: str | None) -> None:
    assert carrier_time(raw, since=SINCE, until=UNTIL) is None


@given(st.text(max_size=12) | st.integers(0, 10**10 - 1).map("{:010d}".format))
def test_whatever_comes_is_a_time_around_the_report_or_none(raw: str) -> None:
    found = carrier_time(raw, since=SINCE, until=UNTIL)

    assert found is None or SINCE - timedelta(minutes=6) <= found <= UNTIL + timedelta(minutes=6)


@pytest.mark.parametrize(
    ("carrier_at", "seconds"),
    [
        pytest.param(None, 1800, id="ours, without the carrier's"),
        pytest.param(NOON + timedelta(minutes=10), 570, id="the carrier's, of a report that came late"),
        pytest.param(SINCE + timedelta(minutes=29, seconds=30), 1800, id="ours, within the carrier's minute"),
        pytest.param(SINCE + timedelta(minutes=33), 1800, id="ours, when its clock is ahead"),
        pytest.param(NOON - timedelta(minutes=2), 0, id="never less than nothing"),
    ],
)
def test_a_latency_is_the_carriers_where_it_says_more(carrier_at: datetime | None, seconds: float) -> None:
    assert latency_s(SINCE, SINCE + timedelta(minutes=30), carrier_at) == seconds


def test_a_message_that_is_under_way_has_no_latency() -> None:
    assert latency_s(SINCE, None, NOON) is None
    assert latency_s(None, UNTIL, NOON) is None
    assert ended_at(None, NOON) is None
