"""What Twilio may change in a body does not count; anything else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.reconciliation.rules import fold_body


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("hello", "Sent from your Twilio trial account - hello"),
        ("\u2018a\u2019 \u201cb\u201d", "'a' \"b\""),
        ("a \u2013 b \u2014 c\u2026", "a - b - c..."),
        (" a\n", "a"),
        ("a\r\nb", "a\nb"),
        ("a\u00a0b\u200b", "a b"),
        ("\u00bd", "1/2"),
    ],
)
def test_what_twilio_may_change_is_nothing(one: str, other: str) -> None:
    assert fold_body(one) == fold_body(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("code 12", "code 1.2"),
        ("a", "A"),
        ("yes", "yes!"),
        ("1 2", "12"),
        ("\u00e9", "e"),
        ("\U0001f600", ""),
    ],
)
def test_two_texts_stay_two(one: str, other: str) -> None:
    assert fold_body(one) != fold_body(other)


@given(st.text())
def test_folding_twice_changes_nothing_and_neither_do_ends_and_prefix(body: str) -> None:
    folded = fold_body(body)

    assert fold_body(f"Sent from your Twilio trial account - {body}") == folded or not body.strip()
    assert fold_body(f" {body}\n") == folded
