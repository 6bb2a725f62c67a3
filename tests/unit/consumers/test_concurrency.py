"""How many requests a consumer gets at once, as its answers tell."""

from collections.abc import Callable

import pytest

from smsapp.consumers.concurrency import START, Concurrency

MOST = 64


def answer(limits: Concurrency, took_s: Callable[[int], float], *, answers: int = 10_000) -> None:
    """Answer so many requests, with as many in flight as the limit says; `took_s` is how long so many take."""
    for _ in range(answers):
        limits.answered(took_s(limits.limit), full=True)


def test_a_consumer_that_answers_as_quickly_gets_as_many_as_it_may() -> None:
    limits = Concurrency(MOST)

    answer(limits, lambda _: 0.05, answers=1000)

    assert limits.limit == MOST


def test_a_consumer_that_works_on_one_after_the_other_gets_no_more() -> None:
    limits = Concurrency(MOST)
    seen = set()

    for _ in range(100):
        answer(limits, lambda at_once: 0.01 * at_once, answers=START)
        seen.add(limits.limit)

    assert limits.limit == START
    assert seen == {START, 2 * START}  # it was tried


def test_a_consumer_with_room_for_twenty_gets_about_twenty() -> None:
    limits = Concurrency(MOST)

    answer(limits, lambda at_once: 0.05 * max(1.0, at_once / 20))

    assert limits.limit in {16, 32}


def test_where_more_were_too_many_it_is_tried_again_much_later() -> None:
    limits = Concurrency(MOST)
    answer(limits, lambda at_once: 0.01 * at_once)

    answer(limits, lambda _: 0.01, answers=10_000)

    assert limits.limit == MOST


def test_a_failure_halves_it_down_to_one_and_success_brings_it_back() -> None:
    limits = Concurrency(MOST)

    after = []
    for _ in range(5):
        limits.failed()
        after.append(limits.limit)
    answer(limits, lambda _: 0.05, answers=2000)

    assert after == [4, 2, 1, 1, 1]
    assert limits.limit == MOST


@pytest.mark.parametrize("most", [1, 3, 8, 20])
def test_the_setting_is_never_exceeded(most: int) -> None:
    limits = Concurrency(most)
    highest = limits.limit

    for _ in range(100):
        answer(limits, lambda _: 0.001, answers=50)
        highest = max(highest, limits.limit)

    assert highest == most


def test_answers_while_nothing_more_waited_say_nothing() -> None:
    limits = Concurrency(MOST)

    for _ in range(1000):
        limits.answered(0.001, full=False)

    assert limits.limit == START
