"""One attempt as a value: whose limits it shares, and how long Twilio may keep it."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest

from smsapp.submission.outbound import Outbound

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def outbound(
    *, sender: str | None = "+15005550006", service: str | None = None, deliver_by: datetime | None = None
) -> Outbound:
    return Outbound(
        id=uuid4(),
        attempt=1,
        to="+14155552671",
        sender=sender,
        messaging_service_sid=service,
        body="hello",
        created_at=NOW,
        deliver_by=deliver_by,
    )


@pytest.mark.parametrize(
    ("sender", "service", "key"),
    [
        ("+15005550006", None, "+15005550006"),
        (None, "MG" + "2" * 32, "MG" + "2" * 32),
        ("+15005550006", "MG" + "2" * 32, "+15005550006"),
    ],
)
def test_limits_are_shared_by_sender_else_by_service(
    sender: str | None, service: str | None, key: str
) -> None:
    assert outbound(sender=sender, service=service).sender_key == key


def test_without_a_deadline_twilio_keeps_its_default() -> None:
    assert outbound().validity_period_s(NOW) is None


@pytest.mark.parametrize(
    ("left", "validity_s"),
    [
        (timedelta(minutes=5), 300),
        (timedelta(seconds=59.2), 60),
        (timedelta(seconds=2), 6),  # Twilio advises more than 5
        (timedelta(days=3), 36_000),  # Twilio's maximum
        (timedelta(seconds=-30), 6),
    ],
)
def test_twilio_may_keep_the_text_until_the_deadline(left: timedelta, validity_s: int) -> None:
    assert outbound(deliver_by=NOW + left).validity_period_s(NOW) == validity_s


def test_a_text_is_late_from_the_deadline_on() -> None:
    second = timedelta(seconds=1)

    assert not outbound().is_late(NOW)
    assert not outbound(deliver_by=NOW + second).is_late(NOW)
    assert outbound(deliver_by=NOW).is_late(NOW)
    assert outbound(deliver_by=NOW - second).is_late(NOW)
