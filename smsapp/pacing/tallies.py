"""Messages sent today, by scope; counted in the transaction of the claim, so a claim that fails is not counted."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import case, delete, func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from smsapp.messages.models import Message
from smsapp.messages.status import Outcome, Status
from smsapp.pacing.models import Tally
from smsapp.twilio.error_codes import OwnCode

HOLDS = (OwnCode.DAILY_CAP, OwnCode.COUNTRY_CAP, OwnCode.COUNTRY_PARKED)
_NEWEST = 20_000


@dataclass(frozen=True, slots=True)
class Delivered:
    """How recent messages to a country ended."""

    country: str
    delivered: int
    ended: int


@dataclass(frozen=True, slots=True)
class Held:
    """Messages that a guard holds."""

    code: int
    country: str | None
    count: int
    until: datetime


def add(session: Session, day: str, amounts: Mapping[str, int]) -> dict[str, int]:
    """Count messages and return each scope's total; the scopes stay locked until the transaction ends."""
    dialect = postgresql if session.get_bind().dialect.name == "postgresql" else sqlite
    # In a fixed order, so that two claims cannot deadlock.
    rows = [{"day": day, "scope": scope, "count": amount} for scope, amount in sorted(amounts.items())]
    insert = dialect.insert(Tally).values(rows)
    counted = insert.on_conflict_do_update(
        index_elements=[Tally.day, Tally.scope], set_={"count": Tally.count + insert.excluded.count}
    ).returning(Tally.scope, Tally.count)
    return {row.scope: row[1] for row in session.execute(counted)}


def read(session: Session, day: str) -> dict[str, int]:
    """Return how many went out on a day, by scope."""
    return dict(session.execute(select(Tally.scope, Tally.count).where(Tally.day == day)).all())


def forget(session: Session, *, before: str) -> None:
    """Remove the counts of earlier days."""
    session.execute(delete(Tally).where(Tally.day < before))


def delivered_by_country(session: Session, *, since: datetime) -> list[Delivered]:
    """Return how messages accepted after `since` ended, by country; reads only the newest, so the cost is bounded."""
    newest = select(Message).order_by(Message.id.desc()).limit(_NEWEST).subquery()
    query = (
        select(
            newest.c.country,
            func.sum(case((newest.c.outcome == Outcome.DELIVERED, 1), else_=0)),
            func.count(),
        )
        .where(
            newest.c.created_at > since,
            newest.c.country.is_not(None),
            newest.c.twilio_sid.is_not(None),
            newest.c.outcome.in_([Outcome.DELIVERED, Outcome.UNDELIVERED, Outcome.FAILED]),
        )
        .group_by(newest.c.country)
    )
    return [Delivered(country, int(good), ended) for country, good, ended in session.execute(query)]


def held(session: Session) -> list[Held]:
    """Return what the guards hold, by reason and country."""
    query = (
        select(Message.error_code, Message.country, func.count(), func.min(Message.due_at))
        .where(Message.status == Status.PENDING, Message.error_code.in_(HOLDS))
        .group_by(Message.error_code, Message.country)
        .order_by(Message.error_code, Message.country)
    )
    return [
        Held(code, country, count, until)
        for code, country, count, until in session.execute(query)
        if code is not None and until is not None
    ]


def held_messages(
    session: Session, *, country: str | None, now: datetime, limit: int
) -> dict[UUID, str | None]:
    """Return messages that a guard holds with their countries, to one country or to any, oldest first."""
    query = select(Message.id, Message.country).where(
        Message.status == Status.PENDING, Message.error_code.in_(HOLDS), Message.due_at > now
    )
    if country is not None:
        query = query.where(Message.country == country)
    return {row.id: row.country for row in session.execute(query.order_by(Message.id).limit(limit))}
