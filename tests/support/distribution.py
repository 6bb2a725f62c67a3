"""Which tests go to which parallel worker, and in which order.

Tests that share a running service stay together, since each worker would start one of its own. The longest start first,
so that no worker is still busy with one when all others are done.
"""

import os
import re
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.support.stack import DATABASES

ON_DATABASE = {name: re.compile(rf"[\[-]{name}[\]-]") for name in DATABASES}
"""How a test's id names the database that it runs on."""

LONGEST_FIRST = (
    "tests/e2e/",
    "tests/integration/test_schemathesis.py",
    "tests/integration/dev/",
    "tests/integration/clients/",
    "tests/integration/",
    "tests/unit/",
)
OWN_SERVICE = frozenset({"tests/e2e/test_lanes.py"})
"""End-to-end tests that do not use the shared service."""


class GroupScheduling(LoadScopeScheduling):
    """Gives whole groups to the workers, in the order of collection.

    The plugin's own `loadgroup` writes a test's group into an attribute that pytest 9.2 no longer reads.
    """

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


def group_of(nodeid: str) -> str:
    """Return a test's group: the tests of its module that run on the same database."""
    database = next((f"-{name}" for name, pattern in ON_DATABASE.items() if pattern.search(nodeid)), "")
    module = nodeid.partition("::")[0]
    shares_service = module.startswith("tests/e2e/") and module not in OWN_SERVICE
    return ("tests/e2e" if shares_service else module) + database


def place_of(nodeid: str) -> int:
    """Return a test's place in the order: tests that may take long come first."""
    places = (place for place, start in enumerate(LONGEST_FIRST) if nodeid.startswith(start))
    return next(places, len(LONGEST_FIRST))


def workers() -> int:
    """Return how many workers keep this machine's cores busy: many of them wait for a process, a timeout or a lock."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return usable * 2
