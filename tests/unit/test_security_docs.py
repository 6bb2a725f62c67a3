"""Each row of the threat model and of the OWASP tables names a test that exists."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "docs" / name for name in ("threat-model.md", "security.md")]
NAMED = re.compile(r"`([\w/]+\.py)::(\w+)`")
API_TOP_10 = {f"API{number}" for number in range(1, 11)}

pages = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


def rows(page: Path) -> list[str]:
    """Return the rows of the page's tables, without their heads."""
    lines = [line for line in page.read_text().splitlines() if line.startswith("| ")]
    rules = {at for at, line in enumerate(lines) if set(line) <= set("|- ")}
    return [line for at, line in enumerate(lines) if at not in rules and at + 1 not in rules]


@cache
def functions_of(file: str) -> set[str]:
    """Return the names of a file's tests."""
    tree = ast.parse((ROOT / "tests" / file).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}


@pages
def test_every_row_names_a_test_that_exists(page: Path) -> None:
    assert len(rows(page)) > 20
    for row in rows(page):
        named = NAMED.findall(row)
        assert named, row
        for file, name in named:
            assert (ROOT / "tests" / file).is_file(), file
            assert name.startswith("test_")
            assert name in functions_of(file), f"{file}::{name}"


@pages
def test_nothing_that_looks_like_a_test_is_missed(page: Path) -> None:
    text = page.read_text()

    assert len(re.findall(r"::\w+`", text)) == len(NAMED.findall(text))


def test_the_top_ten_are_all_there() -> None:
    named = {row.split()[1] for row in rows(PAGES[1]) if row.startswith("| API")}

    assert named == API_TOP_10


def test_the_threat_model_says_that_shared_keys_are_refused_on_purpose() -> None:
    assert "shared-key variant (HMAC-SHA256) is refused on purpose" in PAGES[0].read_text()
