"""Only `lifecycle.apply` changes the status of a message: whoever goes around it forgets steps."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
SAVE = "smsapp.messages.queries"
DOOR = "smsapp/lifecycle/apply.py"
CLAIM = "smsapp/submission/queries.py"
"""The claim is one conditional UPDATE … RETURNING: whoever changes the row sends the message."""

AROUND = {
    "saving": "from smsapp.messages import queries as q\nq.save(session, [])",
    "saving by name": "from smsapp.messages.queries import save\nsave(session, [])",
    "updating": "update(Message).values(status='failed')",
    "updating by a mapping": "update(_MESSAGES).values({'status': 'failed'})",
    "updating by a column": "update(Message).values({Message.status: 'failed'})",
    "assigning": "message.status = 'failed'",
    "in SQL": "text('UPDATE messages SET status = 1')",
}


def ways_around(source: str) -> Iterator[str]:
    """Yield what in a module writes a status by itself."""
    tree = ast.parse(source)
    aliases = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if f"{node.module}.{alias.name}" == SAVE
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == SAVE:
            yield from (alias.name for alias in node.names if alias.name == "save")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from _call(node, node.func, aliases)
        elif isinstance(node, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            yield from (ast.unparse(t) for t in targets if _is_status_of(t, {"message", "row", "locked"}))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            sql = " ".join(node.value.lower().split())
            if "update messages set" in sql and "status" in sql.partition("where")[0]:
                yield sql


def _call(node: ast.Call, func: ast.Attribute, aliases: set[str]) -> Iterator[str]:
    if func.attr == "save" and isinstance(func.value, ast.Name) and func.value.id in aliases:
        yield ast.unparse(node)
    if func.attr != "values" or not _updates_messages(func.value):
        return
    keys = [keyword.arg for keyword in node.keywords]
    for argument in node.args:
        if isinstance(argument, ast.Dict):
            keys += [ast.unparse(key).strip("'\"").rpartition(".")[2] for key in argument.keys if key]
    if "status" in keys:
        yield ast.unparse(node)


def _updates_messages(chain: ast.expr) -> bool:
    return any(
        isinstance(each, ast.Call)
        and isinstance(each.func, ast.Name)
        and each.func.id == "update"
        and ast.unparse(each.args[0]) in {"Message", "_MESSAGES"}
        for each in ast.walk(chain)
    )


def _is_status_of(target: ast.expr, names: set[str]) -> bool:
    return (
        isinstance(target, ast.Attribute)
        and target.attr == "status"
        and isinstance(target.value, ast.Name)
        and target.value.id in names
    )


@pytest.mark.parametrize("source", AROUND.values(), ids=AROUND)
def test_a_way_around_the_door_is_seen(source: str) -> None:
    assert list(ways_around(source))


def test_nothing_else_writes_a_status() -> None:
    found = {
        str(path.relative_to(ROOT)): list(ways_around(path.read_text()))
        for folder in ("smsapp", "worker")
        for path in (ROOT / folder).rglob("*.py")
    }

    assert {path for path, ways in found.items() if ways} == {DOOR, CLAIM}
