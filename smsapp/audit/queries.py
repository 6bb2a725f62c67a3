"""Writing and reading the audit log. Each function takes a Session; none commits."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Table, insert, select, update
from sqlalchemy.orm import Session

from smsapp.audit.acting import acting
from smsapp.audit.models import AuditEntry, AuditHead
from smsapp.audit.rules import Act, Entry, Head, Link, digest_of
from smsapp.db.engine import READ_ONLY

_HEAD: Table = AuditHead.__table__  # type: ignore[assignment]
_BATCH = 1000
_MAX_WHO, _MAX_ADDRESS = 128, 64


def record(
    session: Session,
    act: Act,
    subject: str | None = None,
    *,
    now: datetime,
    details: dict[str, Any] | None = None,
) -> None:
    """Append an act to the log, in the transaction that carries it out: neither exists without the other.

    The row of the head stays locked until the commit, so call this last in the transaction.
    """
    actor = acting()
    last = session.execute(
        update(_HEAD).values(seq=_HEAD.c.seq + 1).returning(_HEAD.c.seq, _HEAD.c.digest)
    ).one()
    entry = Entry(
        seq=last.seq,
        at=now,
        who=actor.who[:_MAX_WHO],
        act=act.value,
        subject=subject and subject[:_MAX_WHO],
        address=actor.address and actor.address[:_MAX_ADDRESS],
        request_id=actor.request_id and actor.request_id[:_MAX_ADDRESS],
        details=details,
    )
    digest = digest_of(entry, last.digest)
    session.execute(
        insert(AuditEntry).values(digest=digest, **{n: getattr(entry, n) for n in entry.__slots__})
    )
    session.execute(update(_HEAD).values(digest=digest))


def look_at_one_moment(session: Session) -> None:
    """Begin a read-only transaction that sees no act of others from now on: else an act meanwhile would look wrong."""
    options: dict[str, Any] = dict(READ_ONLY)
    if session.get_bind().dialect.name == "postgresql":
        options["isolation_level"] = "REPEATABLE READ"
    session.connection(execution_options=options)


def head(session: Session) -> Head:
    """Return how far the log reaches."""
    row = session.execute(select(_HEAD.c.seq, _HEAD.c.digest)).one()
    return Head(row.seq, row.digest)


def links(session: Session) -> Iterator[Link]:
    """Yield every entry in order, read in batches."""
    last = -1
    while rows := session.scalars(
        select(AuditEntry).where(AuditEntry.seq > last).order_by(AuditEntry.seq).limit(_BATCH)
    ).all():
        yield from map(as_link, rows)
        last = rows[-1].seq
        session.expunge_all()


def latest(session: Session, *, limit: int, act: str | None = None, subject: str | None = None) -> list[Link]:
    """Return the last entries that match, newest first."""
    query = select(AuditEntry)
    exact = {AuditEntry.act: act, AuditEntry.subject: subject}
    query = query.where(*(column == value for column, value in exact.items() if value is not None))
    return [as_link(row) for row in session.scalars(query.order_by(AuditEntry.seq.desc()).limit(limit))]


def as_link(row: AuditEntry) -> Link:
    """Return a stored entry as a value."""
    return Link(Entry(**{name: getattr(row, name) for name in Entry.__slots__}), row.digest)
