"""Queries on suppressions. Each takes a Session; none commits."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, exists, select
from sqlalchemy.orm import Session

from smsapp.db import bulk_writes as bulk
from smsapp.db.pages import Page, page_after
from smsapp.ids import new_id
from smsapp.recipients.identity import identity
from smsapp.recipients.phone import address, split_address
from smsapp.suppressions.models import Suppression, SuppressionEvent
from smsapp.suppressions.rules import EVERY_SENDER, OptOutEvidence, Route, overrides

_SUPPRESSIONS: Table = Suppression.__table__  # type: ignore[assignment]
_EVENTS: Table = SuppressionEvent.__table__  # type: ignore[assignment]
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_MUTABLE = ("suppressed", "source", "note", "reference", "since", "at", "version")

Pair = tuple[str, str]
"""A recipient and a scope."""


@dataclass(frozen=True, slots=True)
class Recorded:
    """A piece of evidence, the suppressions it concerns, and those that it changed."""

    evidence: OptOutEvidence
    ids: Sequence[UUID]
    changed: Sequence[UUID]
    changed_scopes: Sequence[str]


def any_suppressed(session: Session) -> bool:
    """Return whether there is any suppression in force."""
    query = select(_SUPPRESSIONS.c.id).where(_SUPPRESSIONS.c.suppressed).limit(1)
    return session.execute(query).first() is not None


def among(session: Session, routes: Iterable[Route]) -> set[Pair]:
    """Return the suppressed pairs of these routes' recipients, for every scope."""
    keys = sorted({key for route in routes for key in _keys(route)})
    query = select(_SUPPRESSIONS.c.recipient, _SUPPRESSIONS.c.scope).where(
        _SUPPRESSIONS.c.suppressed, bulk.among(session, _SUPPRESSIONS.c.recipient, keys)
    )
    return {(row.recipient, row.scope) for row in session.execute(query)}


def forbids(pairs: set[Pair], route: Route) -> bool:
    """Return whether any of the pairs forbids texting a route's recipient from its sender."""
    addressed, phone = _keys(route)
    scopes = (route.sender, route.messaging_service_sid, EVERY_SENDER)
    return any((addressed, scope) in pairs for scope in scopes if scope) or (phone, EVERY_SENDER) in pairs


def _keys(route: Route) -> tuple[str, str]:
    """Return the keys of a route's recipient: on the channel of its sender, and as a phone on any channel."""
    return identity(address(route.to, route.sender)), identity(split_address(route.to)[1])


def anyone_is_suppressed() -> ColumnElement[bool]:
    """Return the condition that there is any suppression in force; the same for every row, so it is evaluated once."""
    return exists().where(_SUPPRESSIONS.c.suppressed)


def record(session: Session, evidences: Sequence[OptOutEvidence], *, now: datetime) -> list[Recorded]:
    """Store evidence and apply it; the rows are locked in the order of their keys.

    A new pair first gets a row that predates any evidence, so that two transactions lock the same row.
    """
    pairs = sorted({(each.known_to(scope), scope) for each in evidences for scope in each.scopes})
    fresh = [_fresh(pair) for pair in pairs]
    bulk.insert_new(session, _SUPPRESSIONS, ("recipient", "scope"), fresh)
    known = _locked(session, pairs)
    before = {pair: row["version"] for pair, row in known.items()}
    events: list[dict[str, Any]] = []
    recorded = [_apply(known, each, events, now) for each in evidences]
    rows = [known[pair] | {"old_version": before[pair]} for pair in pairs]
    bulk.compare_and_set(session, _SUPPRESSIONS, _MUTABLE, [_written(row) for row in rows])
    bulk.insert(session, _EVENTS, events)
    return recorded


def get(session: Session, suppression_id: UUID) -> Suppression | None:
    """Return the suppression, or None."""
    return session.get(Suppression, suppression_id, populate_existing=True)


def find(
    session: Session,
    *,
    limit: int,
    after: UUID | None = None,
    suppressed: bool | None = True,
    recipient: str | None = None,
    scope: str | None = None,
    source: str | None = None,
) -> Page[Suppression]:
    """Return suppressions that match, in the order in which they were first known; None filters nothing."""
    exact = {
        Suppression.suppressed: suppressed,
        Suppression.recipient: recipient and identity(recipient),
        Suppression.scope: scope,
        Suppression.source: source,
    }
    query = select(Suppression).where(
        *(column == value for column, value in exact.items() if value is not None)
    )
    return page_after(session, query, Suppression.id, after=after, limit=limit)


def history(session: Session, suppression_id: UUID, *, limit: int) -> Sequence[SuppressionEvent]:
    """Return the latest evidence, newest first."""
    query = select(SuppressionEvent).where(SuppressionEvent.suppression_id == suppression_id)
    return session.scalars(query.order_by(SuppressionEvent.seq.desc()).limit(limit)).all()


def _fresh(pair: Pair) -> dict[str, Any]:
    recipient, scope = pair
    return {
        "id": new_id(),
        "recipient": recipient,
        "scope": scope,
        "suppressed": False,
        "source": "",
        "since": _NEVER,
        "at": _NEVER,
        "version": 0,
    }


def _locked(session: Session, pairs: Sequence[Pair]) -> dict[Pair, dict[str, Any]]:
    recipients = sorted({recipient for recipient, _ in pairs})
    query = (
        select(_SUPPRESSIONS)
        .where(bulk.among(session, _SUPPRESSIONS.c.recipient, recipients))
        .order_by(_SUPPRESSIONS.c.recipient, _SUPPRESSIONS.c.scope)
        .with_for_update()
    )
    return {(row.recipient, row.scope): dict(row._mapping) for row in session.execute(query)}  # noqa: SLF001 - public


def _apply(
    known: dict[Pair, dict[str, Any]], evidence: OptOutEvidence, events: list[dict[str, Any]], now: datetime
) -> Recorded:
    rows = [known[evidence.known_to(scope), scope] for scope in dict.fromkeys(evidence.scopes)]
    changed = []
    for row in rows:
        row["version"] += 1
        applied = overrides(evidence, suppressed=row["suppressed"], at=row["at"])
        is_change = applied and (row["suppressed"] != evidence.suppressed or row["version"] == 1)
        if is_change:
            row |= {
                "source": evidence.source,
                "note": evidence.note,
                "reference": evidence.reference,
                "since": evidence.at,
            }
        if applied:
            if row["suppressed"] != evidence.suppressed:
                changed.append(row)
            row |= {"suppressed": evidence.suppressed, "at": evidence.at}
        events.append(_event(row, evidence, applied=applied, now=now))
    return Recorded(
        evidence,
        [row["id"] for row in rows],
        [row["id"] for row in changed],
        [row["scope"] for row in changed],
    )


def _event(row: dict[str, Any], evidence: OptOutEvidence, *, applied: bool, now: datetime) -> dict[str, Any]:
    return {
        "suppression_id": row["id"],
        "seq": row["version"],
        "suppressed": evidence.suppressed,
        "applied": applied,
        "source": evidence.source,
        "note": evidence.note,
        "reference": evidence.reference,
        "api_key_id": evidence.api_key_id,
        "at": evidence.at,
        "recorded_at": now,
    }


def _written(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("id", "old_version", *_MUTABLE)}
