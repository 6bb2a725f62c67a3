"""The lock files: one version of each package everywhere, hashes for all, and no registry named."""

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from dev.pin_extras import pin_both

ROOT = Path(__file__).resolve().parents[3]
LOCK_FILES = (
    "requirements.txt",
    "requirements-demo.txt",
    "requirements-dev.txt",
    "requirements-uv.txt",
    "tests/generators/requirements.txt",
)


def pins(name: str) -> dict[str, str]:
    """Return the version of each package, and of each package with an extra."""
    return dict(re.findall(r"^([a-z0-9._-]+(?:\[[^\]]*\])?)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))


def asked_for(package: str, version: str) -> Iterator[Requirement]:
    """What the package needs here; nothing if this version is not installed, such as one for another platform."""
    name, _, extras = package.rstrip("]").partition("[")
    try:
        installed = distribution(name)
    except PackageNotFoundError:
        return
    needs = (installed.requires or []) if installed.version == version else []
    for requirement in map(Requirement, needs):
        if requirement.marker is None or any(
            requirement.marker.evaluate({"extra": extra}) for extra in ["", *extras.split(",")]
        ):
            yield requirement


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


def test_npms_lock_file_names_no_registry_either() -> None:
    assert '"resolved"' not in (ROOT / "tests" / "generators" / "package-lock.json").read_text()


@pytest.mark.parametrize("name", LOCK_FILES)
def test_whatever_a_locked_package_asks_for_is_pinned_as_it_is_asked_for(name: str) -> None:
    """Or pip before 23.3 refuses the file once a newer release is out."""
    pinned = pins(name)
    asked = {
        canonicalize_name(need.name) + (f"[{','.join(sorted(need.extras))}]" if need.extras else "")
        for package, version in pinned.items()
        for need in asked_for(package, version)
    }

    assert asked - pinned.keys() == set()
    assert {package.partition("[")[0] for package in pinned} <= pinned.keys()


def test_a_package_with_an_extra_is_pinned_with_and_without_it_and_only_once() -> None:
    locked = (
        "# made by\na==1 \\\n    --hash=x\n    # via b\nb[c]==2 \\\n    --hash=y\nb-d==3 \\\n    --hash=z\n"
    )

    both = pin_both(locked)

    assert both.replace("b==2 \\\n    --hash=y\n", "", 1) == locked
    assert pin_both(both) == both


def test_every_base_image_is_named_by_digest() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    compose = (ROOT / "docker-compose.yml").read_text()
    bases = re.findall(r"(?m)^FROM (\S+)", dockerfile)
    stages = set(re.findall(r"(?m)^FROM \S+ AS (\w+)", dockerfile))
    images = re.findall(r"(?m)^    image: (\S+)", compose)

    assert set(bases) - stages == {"${PYTHON_IMAGE}"}
    assert re.search(r"(?m)^ARG PYTHON_IMAGE=python:\S+@sha256:[0-9a-f]{64}$", dockerfile)
    assert len(images) == 3
    for image in images:
        assert re.fullmatch(r'"\$\{\w+_IMAGE:-\w+:\S+@sha256:[0-9a-f]{64}\}"', image)
