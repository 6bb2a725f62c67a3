"""What looks the same is the same."""

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.text import BLANK, is_blank, normalize, normalize_name


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("plain", "plain"),
        ("First\u00a0name", "First name"),
        ("\u200bname", "name"),
        ("\ufeff\ufeffto", "to"),
        ("pre\u0301nom", "pr\u00e9nom"),
        ("e\u200b\u0301", "\u00e9"),  # what stood between them is gone before they are put together
        ("soft\u00adhyphen", "softhyphen"),
        ("\u2764\ufe0f", "\u2764"),
        ("narrow\u202fthin\u2009wide\u3000", "narrow thin wide "),
        ("tab\tline\r\nend\u2028", "tab line  end "),
        ("Case AS it is", "Case AS it is"),
        ("\uff34\uff4f", "\uff34\uff4f"),  # wide letters look different
        ("bell\x07", "bell\x07"),
        ("", ""),
    ],
)
def test_what_cannot_be_seen_or_told_apart_is_gone(text: str, seen: str) -> None:
    assert normalize(text) == seen


def test_a_name_has_no_spaces_around_it_and_no_two_in_a_row() -> None:
    assert normalize_name(" \ufeffGiven\n \u00a0name ") == "Given name"
    assert normalize_name("\u200b \t") == ""


@given(st.text())
def test_normalizing_twice_changes_nothing(text: str) -> None:
    assert normalize(normalize(text)) == normalize(text)
    assert normalize_name(normalize_name(text)) == normalize_name(text)
    assert normalize_name(normalize(text)) == normalize_name(text)


@given(st.text(), st.sampled_from("\u200b\u200d\u2060\ufeff\u00ad\u200e"), st.integers(0, 50))
def test_an_invisible_character_changes_nothing_wherever_it_stands(text: str, unseen: str, at: int) -> None:
    assert normalize(text[:at] + unseen + text[at:]) == normalize(text)


@given(st.text())
def test_composed_or_not_it_is_the_same(text: str) -> None:
    assert normalize(unicodedata.normalize("NFD", text)) == normalize(unicodedata.normalize("NFC", text))


@pytest.mark.parametrize(
    "text",
    ["", " ", "\t\r\n", "\u00a0\u3000", "\u200b\ufeff\u2060", "\u3164\u115f", "\u2800", "\x00\x1b", "\u00ad"],
)
def test_what_nobody_can_see_is_blank(text: str) -> None:
    assert is_blank(text)


@pytest.mark.parametrize("text", [".", " a", "\u00e9", "\U0001f600", "\u200b0", "\u0301", "\n\u4e2d"])
def test_one_visible_character_makes_a_text(text: str) -> None:
    assert not is_blank(text)


def test_the_class_for_the_api_document_names_what_is_blank() -> None:
    blank = re.compile(f"[{BLANK}]")
    surrogates = range(0xD800, 0xE000)

    differing = [
        c for c in range(0x10000) if c not in surrogates and bool(blank.match(chr(c))) != is_blank(chr(c))
    ]

    assert differing == []
