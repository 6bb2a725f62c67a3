"""Counters that all processes share and that survive restarts."""

from collections.abc import Mapping

from sqlalchemy import delete, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.db.models import Counter

_LEDGER = "ledger:"
_IS_LEDGER = Counter.name.startswith(_LEDGER, autoescape=True)
_CURSOR = "cursor:"
_IS_CURSOR = Counter.name.startswith(_CURSOR, autoescape=True)


def add(session: Session, name: str, amount: int) -> None:
    """Raise a counter."""
    raised = session.connection().execute(
        update(Counter).where(Counter.name == name).values(value=Counter.value + amount)
    )
    if raised.rowcount:
        return
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(
        dialect.insert(Counter)
        .values(name=name, value=amount)
        .on_conflict_do_update(index_elements=[Counter.name], set_={"value": Counter.value + amount})
    )


def read(session: Session) -> dict[str, int]:
    """Return every counter by name."""
    return dict(session.execute(select(Counter.name, Counter.value).where(~_IS_LEDGER, ~_IS_CURSOR)).all())


def read_cursor(session: Session, name: str) -> int | None:
    """Return how far something has come that goes through numbered rows, None if it has not begun."""
    return session.scalar(select(Counter.value).where(Counter.name == _CURSOR + name))


def move_cursor(session: Session, name: str, value: int) -> None:
    """Store how far something has come."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    session.execute(
        dialect.insert(Counter)
        .values(name=_CURSOR + name, value=value)
        .on_conflict_do_update(index_elements=[Counter.name], set_={"value": value})
    )


def write_ledger(session: Session, ledger: Mapping[str, int]) -> None:
    """Replace the last result of the ledger check, by outcome."""
    session.execute(delete(Counter).where(_IS_LEDGER))
    session.execute(
        insert(Counter), [{"name": _LEDGER + name, "value": count} for name, count in ledger.items()]
    )


def read_ledger(session: Session) -> dict[str, int]:
    """Return the last result of the ledger check; empty before the first."""
    rows = session.execute(select(Counter.name, Counter.value).where(_IS_LEDGER)).all()
    return {name.removeprefix(_LEDGER): count for name, count in rows}
