"""Which scopes are closed to sending: the account, or single senders."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BindParameter, Select, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.breakers.models import Breaker

ACCOUNT = "account"
POLLING = "polling"
"""The scope of polling Twilio for sent messages, as opposed to sending."""

_COUNTRY = "country:"


def country_scope(country: str) -> str:
    """Return the scope of messages to a country."""
    return _COUNTRY + country


def country_of(scope: str) -> str | None:
    """Return the country of a scope, None for another kind of scope."""
    return scope.removeprefix(_COUNTRY) if scope.startswith(_COUNTRY) else None


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
    """Close a scope, or keep it closed for longer; return whether it was open or only slowed before.

    A parked scope stays parked, with its reason: later throttling does not replace it.
    """
    values = {"parked": parked, "error_code": error_code, "reason": reason, "probe_at": probe_at}
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    insert = dialect.insert(Breaker).values(scope=scope, opened_at=now, failures=1, **values)
    if session.execute(insert.on_conflict_do_nothing().returning(Breaker.scope)).first():
        return True
    # `failures` stays as it is: many messages may meet one fault, but only a failed probe shows that it lasts.
    softer = update(Breaker).where(Breaker.scope == scope, Breaker.parked.is_(False))
    if not parked:
        softer = softer.where(Breaker.probe_at < probe_at)
    changed = session.connection().execute(softer.values(values)).rowcount
    return parked and bool(changed)


@dataclass(frozen=True, slots=True)
class ParkedScope:
    """A scope in which nothing is sent until a probe succeeds: the next one is at `until`."""

    error_code: int | None
    reason: str
    until: datetime


def parked(session: Session) -> dict[str, ParkedScope]:
    """Return the parked scopes that messages may wait for: the account and senders, seldom any."""
    return {
        each.scope: ParkedScope(each.error_code, each.reason, each.probe_at)
        for each in all_of(session)
        if each.parked and each.scope != POLLING and country_of(each.scope) is None
    }


def closed_scopes(*, now: datetime | BindParameter[datetime]) -> Select[str]:
    """Return the query for the scopes that are closed to submission now."""
    return select(Breaker.scope).where(or_(Breaker.parked, Breaker.probe_at > now))


def is_closed(session: Session, scope: str, *, now: datetime) -> bool:
    """Return whether this scope is closed now."""
    return session.scalar(closed_scopes(now=now).where(Breaker.scope == scope)) is not None


def due_for_probe(session: Session, *, now: datetime) -> Sequence[Breaker]:
    """Return parked scopes that are due for a probe."""
    return session.scalars(select(Breaker).where(Breaker.parked, Breaker.probe_at <= now)).all()


def all_of(session: Session) -> Sequence[Breaker]:
    """Return every breaker, for display."""
    return session.scalars(select(Breaker).order_by(Breaker.scope)).all()


def release(session: Session, scope: str) -> bool:
    """Open a scope; return whether it was closed."""
    return bool(session.connection().execute(delete(Breaker).where(Breaker.scope == scope)).rowcount)


def postpone(session: Session, scope: str, *, probe_at: datetime, reason: str | None = None) -> None:
    """Keep a scope closed after a failed probe, for what that showed; None for the reason that it already has."""
    values: dict[str, Any] = {"probe_at": probe_at, "failures": Breaker.failures + 1}
    if reason is not None:
        values["reason"] = reason
    session.execute(update(Breaker).where(Breaker.scope == scope).values(values))


def forget_slowed(session: Session, *, now: datetime) -> None:
    """Remove slowed scopes whose time is over."""
    session.execute(delete(Breaker).where(Breaker.parked.is_(False), Breaker.probe_at <= now))


def parked_countries(session: Session) -> dict[str, datetime]:
    """Return the parked countries, each with the time at which it reopens."""
    query = select(Breaker.scope, Breaker.probe_at).where(
        Breaker.parked, Breaker.scope.startswith(_COUNTRY, autoescape=True)
    )
    return {row.scope.removeprefix(_COUNTRY): row.probe_at for row in session.execute(query)}


def open_by_hand(session: Session, scope: str, *, until: datetime) -> bool:
    """Open a scope and keep its row until then, so that it is not parked again; return whether it was parked."""
    statement = update(Breaker).where(Breaker.scope == scope, Breaker.parked)
    opened = statement.values(parked=False, probe_at=until, reason="Opened by an operator.")
    return bool(session.connection().execute(opened).rowcount)
