"""Writing many rows in one statement, on both databases.

PostgreSQL receives the rows as one JSON document and expands it itself: one parameter, one prepared statement, and a
third of the client-side cost of `executemany`. SQLite has no round trips to save, so there `executemany` is fastest.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import orjson
from sqlalchemy import (
    ARRAY,
    Column,
    ColumnElement,
    CompoundSelect,
    Select,
    Table,
    TextClause,
    TextualSelect,
    any_,
    bindparam,
    func,
    literal,
    or_,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

Row = dict[str, Any]

_POSTGRES = postgresql.dialect()  # type: ignore[no-untyped-call]
_OLD_VERSION = "old_version"


def is_postgres(session: Session) -> bool:
    """Return whether this session's database is PostgreSQL."""
    return session.get_bind().dialect.name == "postgresql"


def among(session: Session, column: Column[Any], values: Sequence[Any]) -> ColumnElement[bool]:
    """Return the condition that a column has one of many values: on PostgreSQL one array, so one prepared statement."""
    if is_postgres(session):
        return column == any_(literal(list(values), ARRAY(column.type)))
    return column.in_(values)


def looked_up(
    postgres: bool,
    column: Column[Any],
    chosen: Select[Any] | CompoundSelect[Any],
    others: Sequence[Any] = (),
) -> ColumnElement[bool]:
    """Return the condition that a column has one of the few values that a query selects, or one of `others`.

    On PostgreSQL the values are collected once into an array and then looked up by the index. Otherwise its planner,
    which must estimate how many rows match, may scan the whole table for the join.
    """
    if postgres:
        gathered = func.array(chosen.scalar_subquery())
        known = literal(list(others), ARRAY(column.type))
        return column == any_(func.array_cat(known, gathered) if others else gathered)
    return or_(column.in_(chosen), column.in_(others)) if others else column.in_(chosen)


def compare_and_set(session: Session, table: Table, columns: tuple[str, ...], rows: Sequence[Row]) -> int:
    """Update the rows, found by `id`, that are still at their `old_version`; return how many were updated."""
    connection = session.connection()
    if is_postgres(session):
        found = {"doc": _document(rows), "ids": [row["id"] for row in rows]}
        return int(connection.execute(_update_from_json(table, columns), found).rowcount)
    statement = (
        update(table)
        .where(table.c.id == bindparam("b_id"), table.c.version == bindparam(_OLD_VERSION))
        .values({name: bindparam(name) for name in columns})
    )
    renamed = [{("b_id" if name == "id" else name): value for name, value in row.items()} for row in rows]
    return int(connection.execute(statement, renamed).rowcount)


def insert(session: Session, table: Table, rows: Sequence[Row]) -> None:
    """Insert rows; all rows must have the same keys."""
    if not rows:
        return
    connection = session.connection()
    if is_postgres(session):
        connection.execute(_insert_from_json(table, tuple(rows[0])), {"doc": _document(rows)})
    else:
        connection.execute(table.insert(), list(rows))


def insert_numbered(session: Session, table: Table, head: Table, rows: Sequence[Row]) -> int:
    """Insert rows whose `seq`, counted from 1 in `rows`, is offset by the number in the only row of `head`.

    Returns the last number given. The row stays locked until the commit. On PostgreSQL this is one statement, so that
    the lock is not held for another round trip.
    """
    connection = session.connection()
    if is_postgres(session):
        statement = _insert_numbered_from_json(table, head, tuple(rows[0]))
        return int(connection.execute(statement, {"doc": _document(rows), "count": len(rows)}).scalar_one())
    raised = update(head).values(seq=head.c.seq + len(rows)).returning(head.c.seq)
    last = int(connection.execute(raised).scalar_one())
    before = last - len(rows)
    connection.execute(table.insert(), [row | {"seq": before + row["seq"]} for row in rows])
    return last


def insert_new(
    session: Session, table: Table, unique: tuple[str, ...], rows: Sequence[Row]
) -> list[tuple[Any, ...]]:
    """Insert rows, skipping those that conflict in the unique columns; all rows must have the same keys.

    Returns the unique columns of the rows that were inserted.
    """
    if not rows:
        return []
    connection = session.connection()
    if is_postgres(session):
        statement = _insert_from_json(table, tuple(rows[0]), unique)
        return [tuple(row) for row in connection.execute(statement, {"doc": _document(rows)})]
    skipping = sqlite.insert(table).on_conflict_do_nothing(index_elements=unique)
    returning = skipping.returning(*(table.c[name] for name in unique))
    return [tuple(row) for values in rows for row in connection.execute(returning, values)]


def _document(rows: Sequence[Row]) -> str:
    return orjson.dumps(rows).decode()


@cache
def _update_from_json(table: Table, columns: tuple[str, ...]) -> TextClause:
    assignments = ", ".join(f"{_quoted(name)} = r.{_quoted(name)}" for name in columns)
    record = _record([*(table.c[name] for name in ("id", *columns))], extra=f"{_OLD_VERSION} integer")
    return text(
        f"UPDATE {table.name} AS t SET {assignments} FROM {record} "  # noqa: S608 - names from our own tables
        f"WHERE t.id = ANY(:ids) AND t.id = r.id AND t.version = r.{_OLD_VERSION}"  # by the key; see `looked_up`
    )


@cache
def _insert_from_json(
    table: Table, columns: tuple[str, ...], unique: tuple[str, ...] = ()
) -> TextClause | TextualSelect:
    names = ", ".join(_quoted(name) for name in columns)
    record = _record([table.c[name] for name in columns])
    insert_all = f"INSERT INTO {table.name} ({names}) SELECT {names} FROM {record}"  # noqa: S608 - as above
    if not unique:
        return text(insert_all)
    keys = ", ".join(_quoted(name) for name in unique)
    returning = text(f"{insert_all} ON CONFLICT ({keys}) DO NOTHING RETURNING {keys}")
    return returning.columns(*(table.c[name] for name in unique))


@cache
def _insert_numbered_from_json(table: Table, head: Table, columns: tuple[str, ...]) -> TextClause:
    names = ", ".join(_quoted(name) for name in columns)
    values = ", ".join(
        f"head.seq - :count + r.{name}" if name == "seq" else f"r.{_quoted(name)}" for name in columns
    )
    record = _record([table.c[name] for name in columns])
    return text(
        f"WITH head AS (UPDATE {head.name} SET seq = seq + :count RETURNING seq), "  # noqa: S608 - as above
        f"numbered AS (INSERT INTO {table.name} ({names}) SELECT {values} FROM head, {record}) "
        "SELECT seq FROM head"
    )


def _record(columns: Sequence[Column[Any]], *, extra: str = "") -> str:
    """Return the document as a record set in SQL, without `::` casts, whose colons would be read as parameters."""
    types = [f"{_quoted(column.name)} {column.type.compile(_POSTGRES)}" for column in columns]
    return f"json_to_recordset(CAST(:doc AS json)) AS r({', '.join([*types, extra] if extra else types)})"


_quoted: Callable[[str], str] = _POSTGRES.identifier_preparer.quote
