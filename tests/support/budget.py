"""How long tests look for what nobody thought of: not long and the same each time, or for as long as `TEST_DEEP=1`."""

import os

from hypothesis import settings

DEEP = os.environ.get("TEST_DEEP") == "1"
"""Whether this is `make test-deep`."""

_TIMES = 25


def examples(usual: int) -> int:
    """Return how many examples a property is tried with, of which `usual` are enough for every day."""
    return usual * _TIMES if DEEP else usual


def load_hypothesis_profile() -> None:
    """Have properties tried with the same examples each time, or with many that nobody has seen.

    No example has a deadline: parallel workers make each other wait.
    """
    settings.register_profile("daily", derandomize=True, deadline=None)
    settings.register_profile("deep", max_examples=examples(100), deadline=None, print_blob=True)
    settings.load_profile("deep" if DEEP else "daily")
