"""The table of outcomes is sound, and the documentation prints it."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from simulator.course import Quirk
from simulator.options import Behaviour, Settings, environment_name
from simulator.outcomes import BY_DIGITS, DEFAULT, OUTCOMES, Outcome, markdown_table, outcome_for

DOCUMENT = Path(__file__).parents[3] / "docs" / "simulator.md"


def test_the_documentation_prints_the_table() -> None:
    assert markdown_table() in DOCUMENT.read_text()


def test_the_documentation_names_every_option() -> None:
    text = DOCUMENT.read_text()

    for item in (*fields(Settings), *fields(Behaviour)):
        assert f"`--{item.name.replace('_', '-')}`" in text
        assert f"`{environment_name(item)}`" in text


def test_names_and_digits_are_unique() -> None:
    assert len({outcome.name for outcome in OUTCOMES}) == len(OUTCOMES)
    assert len(BY_DIGITS) == len(OUTCOMES) - 1


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_every_outcome_is_chosen_by_five_digits(outcome: Outcome) -> None:
    digits = outcome.digits or "00000"

    assert re.fullmatch(r"\d{5}", digits)
    assert outcome_for(f"+155501{digits}") is outcome


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_what_reaches_the_application_is_what_it_ends_with(outcome: Outcome) -> None:
    """A callback or a list can only tell what Twilio did; the table must not promise anything else."""
    course = outcome.course

    if course.refusal and course.refusal.times is None:
        expected = ("failed", course.refusal.code)
    elif course.refusal and outcome.if_resent:
        expected = ("unconfirmed", None)  # whether it was accepted cannot be told from the answer
    elif Quirk.LOST in course.quirks and not course.listed:
        expected = ("unconfirmed", None)
    else:
        expected = (course.steps[-1].status, course.steps[-1].error_code)

    assert (outcome.status, outcome.error_code) == expected


def test_any_other_digits_are_delivered() -> None:
    assert outcome_for("+15550100123") is DEFAULT
