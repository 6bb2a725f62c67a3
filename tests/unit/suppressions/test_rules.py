"""Which of two pieces of evidence counts, and for whom."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smsapp.suppressions.rules import OptOutEvidence, OptOutSource, overrides, recipient_key

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STOP = OptOutEvidence("+14155552671", ["+15005550006"], True, OptOutSource.INBOUND, NOW)
START = replace(STOP, suppressed=False)


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("+14155552671", "+14155552671"),
        ("rcs:+14155552671", "+14155552671"),
        ("whatsapp:+14155552671", "whatsapp:+14155552671"),
        ("12345", "12345"),
        ("MG" + "2" * 32, "MG" + "2" * 32),
        ("", ""),
    ],
)
def test_an_address_has_one_form(address: str, key: str) -> None:
    assert recipient_key(address) == key


@pytest.mark.parametrize("span", [timedelta(microseconds=1), timedelta(days=9)])
def test_the_later_evidence_counts_whichever_comes_first(span: timedelta) -> None:
    assert overrides(START, suppressed=True, at=NOW - span)
    assert overrides(STOP, suppressed=False, at=NOW - span)
    assert not overrides(START, suppressed=True, at=NOW + span)
    assert not overrides(STOP, suppressed=False, at=NOW + span)


def test_at_the_same_moment_the_recipient_is_spared() -> None:
    assert overrides(STOP, suppressed=False, at=NOW)
    assert not overrides(START, suppressed=True, at=NOW)
    assert not overrides(STOP, suppressed=True, at=NOW)
