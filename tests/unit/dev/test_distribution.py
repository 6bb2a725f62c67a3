"""Which tests stay together on one worker, and which begin first."""

from pathlib import Path

import pytest

from tests.support.distribution import LONGEST_FIRST, OWN_SERVICE, group_of, place_of

ROOT = Path(__file__).parents[3]
E2E = "tests/e2e/test_jobs.py::test_a"


@pytest.mark.parametrize(
    ("nodeid", "group"),
    [
        (f"{E2E}[sqlite]", "tests/e2e-sqlite"),
        (f"{E2E}[postgres-stop]", "tests/e2e-postgres"),
        (f"{E2E}[web-sqlite]", "tests/e2e-sqlite"),
        ("tests/e2e/test_lanes.py::test_a[sqlite]", "tests/e2e/test_lanes.py-sqlite"),
        ("tests/integration/web/test_docs.py::test_a[sqlite-x]", "tests/integration/web/test_docs.py-sqlite"),
        ("tests/unit/test_ids.py::TestIds::test_a[not sqlite]", "tests/unit/test_ids.py"),
    ],
)
def test_what_shares_a_service_or_a_database_of_a_module_stays_together(nodeid: str, group: str) -> None:
    assert group_of(nodeid) == group


def test_what_takes_longest_begins_first() -> None:
    unit, e2e = "tests/unit/test_ids.py::test_a", f"{E2E}[sqlite]"

    assert sorted([unit, "elsewhere.py::test_a", e2e], key=place_of) == [e2e, unit, "elsewhere.py::test_a"]


def test_the_names_in_the_lists_exist() -> None:
    assert [name for name in [*LONGEST_FIRST, *OWN_SERVICE] if not (ROOT / name).exists()] == []
