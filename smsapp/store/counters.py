"""Numbers that count for all processes and survive restarts."""

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.store.tables import Counter


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
    return dict(session.execute(select(Counter.name, Counter.value)).all())
