"""Threads kept on one CPU, and let go again."""

import os
import threading

import pytest

from smsapp.queue.pin_to_cpu import pin_to_cpu

pytestmark = pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="this system cannot place threads"
)


def affinity_of_a_thread(first: object) -> set[int]:
    """Return where a new thread may run that called this first."""
    found: list[set[int]] = []

    def work() -> None:
        assert callable(first)
        first()
        found.append(os.sched_getaffinity(0))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    return found[0]


def test_all_who_come_are_on_one_cpu_and_the_first_is_let_go() -> None:
    before = os.sched_getaffinity(0)

    with pin_to_cpu() as come_here:
        here = os.sched_getaffinity(0)
        there = affinity_of_a_thread(come_here)

    assert len(here) == 1
    assert there == here
    assert os.sched_getaffinity(0) == before
