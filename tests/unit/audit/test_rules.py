"""The chain of acts: whatever is changed, removed, inserted or moved is found, and a whole chain has no fault."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.audit.rules import GENESIS, Entry, Head, Link, digest_of, faults

AT = datetime(2026, 11, 28, 12, 0, 0, 123456, tzinfo=UTC)
FIELDS = ("at", "who", "act", "subject", "address", "request_id", "details")


def chain(length: int) -> tuple[list[Link], Head]:
    links: list[Link] = []
    digest = GENESIS
    for seq in range(1, length + 1):
        entry = Entry(
            seq, AT + timedelta(seconds=seq), f"key{seq}", "key.created", f"s{seq}", None, None, {"n": seq}
        )
        digest = digest_of(entry, digest)
        links.append(Link(entry, digest))
    return links, Head(length, digest)


def changed(entry: Entry, field: str) -> Entry:
    values: dict[str, Any] = {
        "at": entry.at + timedelta(microseconds=1),
        "details": {**(entry.details or {}), "x": 1},
    }
    return replace(entry, **{field: values.get(field, f"{getattr(entry, field) or ''}x")})


@given(st.integers(0, 12))
def test_a_whole_chain_has_no_fault(length: int) -> None:
    links, head = chain(length)

    assert list(faults(links, head)) == []
    for link in links:
        assert list(faults(links, head, known=Head(link.entry.seq, link.digest))) == []


@given(st.integers(1, 12), st.data(), st.sampled_from(FIELDS), st.booleans())
def test_a_changed_entry_is_found(
    length: int, data: st.DataObject, field: str, with_its_digest: bool
) -> None:
    links, head = chain(length)
    place = data.draw(st.integers(0, length - 1))
    before = links[place - 1].digest if place else GENESIS
    entry = changed(links[place].entry, field)
    links[place] = Link(entry, digest_of(entry, before) if with_its_digest else links[place].digest)

    assert list(faults(links, head))


@given(st.integers(1, 12), st.data())
def test_a_removed_entry_is_found(length: int, data: st.DataObject) -> None:
    links, head = chain(length)
    del links[data.draw(st.integers(0, length - 1))]

    assert list(faults(links, head))


@given(st.integers(1, 12), st.data(), st.booleans())
def test_an_inserted_entry_is_found(length: int, data: st.DataObject, renumbered: bool) -> None:
    links, head = chain(length)
    place = data.draw(st.integers(0, length))
    before = links[place - 1].digest if place else GENESIS
    entry = Entry(place + 1, AT, "somebody", "key.created", None, None, None, None)
    links.insert(place, Link(entry, digest_of(entry, before)))
    if renumbered:
        links[place + 1 :] = [
            Link(replace(link.entry, seq=link.entry.seq + 1), link.digest) for link in links[place + 1 :]
        ]

    assert list(faults(links, head))


@given(st.integers(2, 12), st.data())
def test_entries_that_changed_places_are_found(length: int, data: st.DataObject) -> None:
    links, head = chain(length)
    one, other = data.draw(st.lists(st.integers(0, length - 1), min_size=2, max_size=2, unique=True))
    links[one], links[other] = links[other], links[one]

    assert list(faults(links, head))


@given(st.integers(1, 12), st.data())
def test_a_chain_that_was_made_anew_is_found_by_an_exported_head(length: int, data: st.DataObject) -> None:
    links, _ = chain(length)
    known = data.draw(st.sampled_from(links))
    made: list[Link] = []
    digest = GENESIS
    for link in links:
        entry = replace(link.entry, who="somebody else")
        digest = digest_of(entry, digest)
        made.append(Link(entry, digest))
    head = Head(length, digest)

    assert list(faults(made, head)) == []
    assert list(faults(made, head, known=Head(known.entry.seq, known.digest)))


@pytest.mark.parametrize("hours", [-11, 0, 5])
def test_a_time_is_the_same_in_every_zone(hours: int) -> None:
    entry = Entry(1, AT, "who", "key.created", None, None, None, {"b": 1, "a": 2})
    elsewhere = replace(entry, at=AT.astimezone(timezone(timedelta(hours=hours))), details={"a": 2, "b": 1})

    assert digest_of(elsewhere, GENESIS) == digest_of(entry, GENESIS)
