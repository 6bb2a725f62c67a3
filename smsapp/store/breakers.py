"""Which scopes are closed to sending: the account, or single senders."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Select, delete, or_, select, update
from sqlalchemy.orm import Session

from smsapp.store.tables import Breaker

ACCOUNT = "account"
POLLING = "polling"
"""Not sending, but asking about what was sent."""


def trip(
    session: Session,
    scope: str,
    *,
    parked: bool,
    error_code: int | None,
    reason: str,
    now: datetime,
    probe_at: datetime,
) -> bool:
    """Close a scope, or keep it closed for longer; return whether it was open before."""
    breaker = session.get(Breaker, scope, with_for_update=True)
    if breaker is None:
        session.add(
            Breaker(
                scope=scope,
                parked=parked,
                error_code=error_code,
                reason=reason,
                opened_at=now,
                probe_at=probe_at,
                failures=1,
            )
        )
        session.flush()
        return True
    breaker.parked = breaker.parked or parked
    breaker.error_code = error_code
    breaker.reason = reason
    breaker.probe_at = max(breaker.probe_at, probe_at)
    breaker.failures += 1
    return False


def closed_scopes(*, now: datetime) -> Select[str]:
    """Return the query for the scopes in which nothing may be submitted now."""
    return select(Breaker.scope).where(or_(Breaker.parked, Breaker.probe_at > now))


def is_closed(session: Session, scope: str, *, now: datetime) -> bool:
    """Return whether this scope is closed now."""
    return session.scalar(closed_scopes(now=now).where(Breaker.scope == scope)) is not None


def due_for_probe(session: Session, *, now: datetime) -> Sequence[Breaker]:
    """Return parked scopes that may be tried again."""
    return session.scalars(select(Breaker).where(Breaker.parked, Breaker.probe_at <= now)).all()


def all_of(session: Session) -> Sequence[Breaker]:
    """Return every breaker there is, for people to see."""
    return session.scalars(select(Breaker).order_by(Breaker.scope)).all()


def release(session: Session, scope: str) -> bool:
    """Open a scope; return whether it was closed."""
    return bool(session.connection().execute(delete(Breaker).where(Breaker.scope == scope)).rowcount)


def postpone(session: Session, scope: str, *, probe_at: datetime) -> None:
    """Keep a scope closed after a probe that failed."""
    statement = update(Breaker).where(Breaker.scope == scope)
    session.execute(statement.values(probe_at=probe_at, failures=Breaker.failures + 1))


def forget_slowed(session: Session, *, now: datetime) -> None:
    """Remove scopes that were only slowed and whose time is over."""
    session.execute(delete(Breaker).where(Breaker.parked.is_(False), Breaker.probe_at <= now))
