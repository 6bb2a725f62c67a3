"""What tests share stands in tests/support, and none replaces what is private to a module of ours."""

import ast
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parents[2]


def imported(source: str) -> Iterator[str]:
    """Return the modules that a file imports, and what it imports from them as if that were modules, too."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_private(name: str) -> bool:
    """Return whether a module, or something in it, is for pytest alone: a test module or a conftest."""
    return name.startswith("tests.") and any(
        part.startswith("test_") or part == "conftest" for part in name.split(".")
    )


def test_the_check_knows_what_is_private() -> None:
    source = (
        "import tests.unit.test_ids\nfrom tests.e2e.conftest import Stacks\nfrom tests.unit import test_ids\n"
    )

    assert all(is_private(name) for name in imported(source))
    assert not is_private("tests.support.stack.Stack")


def test_no_test_module_is_used_as_a_library() -> None:
    found = {
        str(path.relative_to(TESTS)): [name for name in imported(path.read_text("utf-8")) if is_private(name)]
        for path in TESTS.rglob("*.py")
    }

    assert len(found) > 100
    assert {path: names for path, names in found.items() if names} == {}


def patched(source: str) -> Iterator[str]:
    """Return the names that a file has replaced by `setattr` of a fixture: `"name"`, or the last of `"module.name"`."""
    for node in ast.walk(ast.parse(source)):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "setattr"
        ):
            texts = [each.value for each in node.args[:2] if isinstance(each, ast.Constant)]
            yield from (text.rpartition(".")[2] for text in texts if isinstance(text, str))


def test_the_check_knows_what_is_replaced() -> None:
    source = 'monkeypatch.setattr(module, "_IDLE", 1)\npatch.setattr("smsapp.module._BATCH", 2)\n'

    assert list(patched(source)) == ["_IDLE", "_BATCH"]


def test_nothing_private_is_replaced() -> None:
    """What a test must change is an argument, a setting of the runtime or a public attribute."""
    found = {
        str(path.relative_to(TESTS)): [n for n in patched(path.read_text("utf-8")) if n.startswith("_")]
        for path in TESTS.rglob("*.py")
    }

    assert {path: names for path, names in found.items() if names} == {}
