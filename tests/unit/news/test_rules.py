"""What a bulletin says, and that it can be read again, by whoever and whatever comes."""

from uuid import UUID, uuid4

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.news.rules import Bulletin, decode, encode, names_of

numbers = st.none() | st.integers(0, 2**53)
bulletins = st.builds(
    Bulletin,
    outcomes=st.frozensets(st.uuids().map(lambda each: each.hex), max_size=5),
    position=numbers,
    reached=numbers,
    missed=st.booleans(),
)


@given(bulletins)
def test_a_bulletin_is_read_as_it_was_written(bulletin: Bulletin) -> None:
    assert decode(encode(bulletin)) == bulletin


def test_a_bulletin_holds_ids_and_numbers_and_nothing_else() -> None:
    message_id = UUID("018f0000-0000-7000-8000-0000000000aa")

    written = encode(Bulletin(names_of([message_id]), position=7, reached=8, missed=True))

    assert orjson.loads(written) == {
        "outcomes": [message_id.hex],
        "position": 7,
        "reached": 8,
        "missed": True,
    }
    assert encode(Bulletin()) == b"{}"


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[]",
        b"null",
        b'{"outcomes": 1}',
        b'{"position": "x"}',
        b"\xff",
        b'{"outcomes": [{}]',
    ],
)
def test_what_cannot_be_read_is_something_missed(payload: bytes) -> None:
    assert decode(payload) == Bulletin(missed=True)


@given(bulletins, bulletins)
def test_two_bulletins_in_one_say_what_both_say(one: Bulletin, other: Bulletin) -> None:
    both = one.with_later(other)

    assert both.outcomes == one.outcomes | other.outcomes
    assert both.missed == (one.missed or other.missed)
    for name in ("position", "reached"):
        said = [value for value in (getattr(one, name), getattr(other, name)) if value is not None]
        assert getattr(both, name) == (max(said) if said else None)


def test_very_many_outcomes_become_the_advice_to_look() -> None:
    many = Bulletin(names_of([uuid4() for _ in range(5_000)]))

    assert not many.with_later(Bulletin(position=1)).missed
    assert many.with_later(Bulletin(names_of([uuid4()]))) == Bulletin(missed=True)
