"""Hearing a STOP is generous, hearing a START is strict."""

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.inbound.keywords import STOP_LISTS, Keyword, keyword_of

TOLL_FREE = "+18005550100"
LONG_CODE = "+15005550006"
DOCUMENT = Path(__file__).parents[3] / "docs" / "opt-outs.md"
STOP_WORDS = sorted({word for each in STOP_LISTS for word in each.words})


@pytest.mark.parametrize("word", STOP_WORDS)
@pytest.mark.parametrize(
    "write", [str, str.lower, str.title, lambda word: f" {word}\n", lambda word: f'"{word}."']
)
def test_every_word_of_every_list_is_a_stop_however_it_is_written(word: str, write: type[str]) -> None:
    assert keyword_of(write(word), None) is Keyword.STOP


@pytest.mark.parametrize(
    "text",
    [
        "STOP!",
        "STOP.",
        "\u201cStop\u201d",
        "\u00ab\u00a0Arr\u00eat\u00a0\u00bb",
        "arr\u0065\u0302t",
        "(stop)",
        "Stop :-(",
        "stop \U0001f6d1",
        "\u200bSTOP\ufeff",
        "S\u00adTOP",
        "\uff33\uff34\uff2f\uff30",
        "opt out",
        "Opt-Out.",
        "opt\u2011out",
        "STOP ALL",
        "stop all!",
        "Stop stop STOP",
        "stop, unsubscribe",
        "-STOP-",
        "'END'",
    ],
)
def test_what_stands_around_a_stop_does_not_matter(text: str) -> None:
    assert keyword_of(text, None) is Keyword.STOP


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "?!",
        "please stop",
        "STOP IT",
        "don't stop",
        "bus stop",
        "stop1",
        "stops",
        "weekend",
        "hello",
        "1",
    ],
)
def test_any_other_text_asks_for_nothing(text: str) -> None:
    assert keyword_of(text, None) is None


def _is_letter_in_disguise(character: str) -> bool:
    return any(each.isalnum() for each in unicodedata.normalize("NFKD", character))


AROUND = st.characters(categories=["P", "S", "Z", "Cf"]).filter(lambda each: not _is_letter_in_disguise(each))


@given(st.text(AROUND), st.sampled_from(STOP_WORDS))
def test_whatever_is_no_letter_and_no_digit_changes_no_stop(around: str, word: str) -> None:
    assert keyword_of(around + word + around[::-1], None) is Keyword.STOP


@pytest.mark.parametrize("word", ["START", "unstop", "Yes ", "\nstart"])
def test_a_start_is_one_word_as_it_is(word: str) -> None:
    assert keyword_of(word, None, to=LONG_CODE) is Keyword.START


@pytest.mark.parametrize("text", ["START!", '"YES"', "start please", "yes yes", "UN STOP", "RESTART"])
def test_what_twilio_takes_for_no_start_is_none(text: str) -> None:
    assert keyword_of(text, None, to=LONG_CODE) is None


@pytest.mark.parametrize(
    ("body", "opt_out_type", "keyword"),
    [
        ("YES", None, None),  # F13
        ("yes", "START", None),
        ("JOIN", "START", None),
        ("START", None, Keyword.START),
        ("Unstop", None, Keyword.START),
        ("START", "START", Keyword.START),
        ("STOP", None, Keyword.STOP),
        ("END", "STOP", Keyword.STOP),
    ],
)
@pytest.mark.parametrize("to", [TOLL_FREE, "+18335550100", "+18885550100"])
def test_only_two_words_lift_an_opt_out_of_a_toll_free_number(
    to: str, body: str, opt_out_type: str | None, keyword: Keyword | None
) -> None:
    assert keyword_of(body, opt_out_type, to=to) is keyword


@pytest.mark.parametrize(
    ("body", "opt_out_type", "keyword"),
    [
        pytest.param("BASTA", "STOP", Keyword.STOP, id="a word of the account's own"),
        pytest.param("JOIN", "START", Keyword.START, id="and one to start again"),
        pytest.param("STOP", "HELP", Keyword.HELP, id="what Twilio made of it wins"),
        pytest.param("stop", "SOMETHING", Keyword.STOP, id="a type that is new"),
    ],
)
def test_with_advanced_opt_out_twilio_says_what_it_made_of_a_text(
    body: str, opt_out_type: str, keyword: Keyword
) -> None:
    assert keyword_of(body, opt_out_type, to=LONG_CODE) is keyword


@pytest.mark.parametrize("word", ["HELP", "info", "Aide", "AYUDA"])
def test_help_is_heard(word: str) -> None:
    assert keyword_of(word, None) is Keyword.HELP


def test_the_documented_table_is_the_one_that_counts() -> None:
    rows = [line for line in DOCUMENT.read_text().splitlines() if line.startswith("| ")][2:]

    assert rows == [
        f"| {each.where} | {', '.join(f'`{word}`' for word in each.words)} | <{each.source}> |"
        for each in STOP_LISTS
    ]
