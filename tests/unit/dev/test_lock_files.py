"""The lock files: one version of each package everywhere, hashes for all, and no registry named."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCK_FILES = ("requirements.txt", "requirements-demo.txt", "requirements-dev.txt", "requirements-uv.txt")


def pins(name: str) -> dict[str, str]:
    text = (ROOT / name).read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)(?:\[[^\]]*\])?==(\S+)", text, re.MULTILINE))


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [("requirements.txt", "requirements-demo.txt"), ("requirements-demo.txt", "requirements-dev.txt")],
)
def test_what_runs_in_production_is_what_is_tested(smaller: str, larger: str) -> None:
    assert pins(smaller).items() <= pins(larger).items()


@pytest.mark.parametrize("name", LOCK_FILES)
def test_every_package_has_a_hash(name: str) -> None:
    entries = re.split(r"^(?=[a-z])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]

    assert entries
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("name", LOCK_FILES)
def test_no_registry_is_named(name: str) -> None:
    assert "://" not in (ROOT / name).read_text()
