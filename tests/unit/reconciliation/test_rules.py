"""What Twilio may change in a body does not count; anything else does."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.reconciliation.rules import Sought, fold_body


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
        ("\u2022 a \u2039b\u203a", "- a >b<"),
        ("\u1d00 e\u0302", "A e^"),
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


TEXT, LINK = Sought("hello"), Sought("see https://example.com/long?x=1 now", shortens=True)
MEDIA, TEMPLATE = Sought("", has_media=True), Sought(None)


@pytest.mark.parametrize(
    ("sought", "body", "num_media", "like"),
    [
        (TEXT, "hello", 0, True),
        (TEXT, "hello ", 0, True),
        (TEXT, "other", 0, False),
        (TEXT, None, 0, False),
        (LINK, "see https://twil.io/a1b2c3 now", 0, True),
        (LINK, "see https://twil.io/a1b2c3 then", 0, False),
        (Sought("see https://example.com/ now"), "see https://twil.io/a1b2c3 now", 0, False),
        (MEDIA, "", 1, True),
        (MEDIA, None, 1, True),
        (MEDIA, "", 0, False),
        (MEDIA, "hello", 1, False),
        (TEMPLATE, "whatever", 0, True),
        (TEMPLATE, "", 1, True),
        (TEMPLATE, "", 0, False),
    ],
)
def test_a_message_is_like_what_twilio_makes_of_it(
    sought: Sought, body: str | None, num_media: int, like: bool
) -> None:
    assert sought.is_like(body, num_media) is like
    assert sought.may_be(body, num_media) is (like or not body)


def test_what_cannot_be_told_apart_competes() -> None:
    assert TEMPLATE.competes_with(TEXT)
    assert TEXT.competes_with(TEMPLATE)
    assert TEXT.competes_with(Sought("hello "))
    assert not TEXT.competes_with(MEDIA)
    assert Sought.of("", None, {"content_sid": "HX"}) == TEMPLATE
    assert Sought.of("a", ["https://example.com/"], None) == Sought("a", has_media=True)
