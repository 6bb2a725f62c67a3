"""The order of statuses, on which everything rests: a fold over a total order cannot depend on arrival."""

from itertools import combinations, product

import pytest

from smsapp.messages.status import (
    BAD_NEWS,
    FINAL,
    GOOD_NEWS,
    OURS,
    Outcome,
    Status,
    bit_of,
    outcome_of,
    parse_status,
    supersedes,
)

TWILIOS_WORDS = (
    "accepted", "scheduled", "queued", "sending", "sent", "canceled", "failed", "undelivered", "delivered", "read",
    "partially_delivered",
)  # fmt: skip


@pytest.mark.parametrize("raw_status", TWILIOS_WORDS)
def test_each_word_of_twilios_is_read(raw_status: str) -> None:
    assert parse_status(raw_status) == raw_status


@pytest.mark.parametrize(
    "raw_status", ["pending", "submitting", "unconfirmed", "receiving", "Delivered", "", "new_word"]
)
def test_no_other_word_is_read_not_even_our_own(raw_status: str) -> None:
    assert parse_status(raw_status) is None


def test_parts_that_arrived_are_more_than_sent_and_less_than_any_end() -> None:
    parts = Status.PARTIALLY_DELIVERED

    assert supersedes(parts, Status.SENT)
    assert all(supersedes(final, parts) for final in FINAL)
    assert outcome_of(parts) is None
    assert parts not in FINAL | BAD_NEWS | GOOD_NEWS | OURS


def test_the_stored_bits_of_statuses_stay_what_they_were() -> None:
    """`messages.reported` has them: other bits would make known callbacks look new, and new ones known."""
    assert [bit_of(Status(word)) for word in TWILIOS_WORDS] == [
        1 << place for place in range(len(TWILIOS_WORDS))
    ]


def test_nothing_supersedes_itself() -> None:
    assert not [status for status in Status if supersedes(status, status)]


def test_of_two_statuses_exactly_one_supersedes_the_other() -> None:
    undecided = [
        (one, other)
        for one, other in combinations(Status, 2)
        if supersedes(one, other) is supersedes(other, one)
    ]

    assert undecided == []


def test_superseding_is_transitive() -> None:
    broken = [
        (a, b, c)
        for a, b, c in product(Status, repeat=3)
        if supersedes(a, b) and supersedes(b, c) and not supersedes(a, c)
    ]

    assert broken == []


def test_every_final_status_supersedes_every_other_one() -> None:
    open_ones = set(Status) - FINAL

    assert all(supersedes(final, status) for final, status in product(FINAL, open_ones))


def test_evidence_of_delivery_supersedes_every_other_final_status() -> None:
    refusals = FINAL - GOOD_NEWS

    assert all(supersedes(good, bad) for good, bad in product(GOOD_NEWS, refusals))


def test_every_word_of_twilios_supersedes_whatever_was_before_twilio_had_the_message() -> None:
    reportable = set(Status) - OURS

    assert all(supersedes(theirs, ours) for theirs, ours in product(reportable, OURS))


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (Status.CANCELED, Outcome.CANCELED),
        (Status.FAILED, Outcome.FAILED),
        (Status.UNDELIVERED, Outcome.UNDELIVERED),
        (Status.DELIVERED, Outcome.DELIVERED),
        (Status.READ, Outcome.DELIVERED),
    ],
)
def test_a_final_status_is_an_outcome(status: Status, outcome: Outcome) -> None:
    assert outcome_of(status) is outcome


def test_only_final_statuses_are_outcomes() -> None:
    assert {status for status in Status if outcome_of(status)} == FINAL
    assert FINAL >= BAD_NEWS | GOOD_NEWS


def test_each_reportable_status_has_a_bit_of_its_own() -> None:
    bits = [bit_of(status) for status in Status if status not in OURS]

    assert sum(bits) == 2 ** len(bits) - 1
    assert len(set(bits)) == len(bits)
