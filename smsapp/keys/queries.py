"""API keys: only digests are stored, so a stolen database contains no usable key."""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

from sqlalchemy import ColumnElement, and_, or_, select, update
from sqlalchemy.orm import Session

from smsapp.ids import new_id
from smsapp.keys.models import DEFAULT_APPLICATION, ApiKey
from smsapp.keys.scopes import ALL, Scope, parsed, written

Mode = Literal["live", "test"]
_PREFIX = 14


def issue(
    session: Session,
    name: str,
    *,
    mode: Mode,
    now: datetime,
    quiet_hours: str | None = None,
    application_id: UUID = DEFAULT_APPLICATION,
    scopes: Collection[Scope] = ALL,
    expires_at: datetime | None = None,
) -> str:
    """Create a key and return its secret, which is not stored and cannot be shown again."""
    secret = f"sms_{mode}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        id=new_id(),
        application_id=application_id,
        name=name,
        mode=mode,
        scopes=written(scopes),
        expires_at=expires_at,
        prefix=prefix_of(secret),
        secret_sha256=digest(secret),
        created_at=now,
        quiet_hours=quiet_hours,
    )
    session.add(key)
    return secret


def find_active(session: Session, secret: str, *, now: datetime) -> ApiKey | None:
    """Return the key with this secret, or None when there is none, it was revoked or has expired."""
    query = select(ApiKey).where(ApiKey.secret_sha256 == digest(secret), _is_active(now))
    return session.scalars(query).one_or_none()


def rotate(session: Session, prefix: str, *, overlap: timedelta, now: datetime) -> str | None:
    """Issue a key with the rights of the active key with this prefix, which expires after the overlap.

    Returns the new secret, None when not exactly one active key has the prefix. A key that had an end gets a successor
    that lasts as long.
    """
    query = select(ApiKey).where(ApiKey.prefix == prefix, _is_active(now)).with_for_update()
    found = session.scalars(query).all()
    if len(found) != 1:
        return None
    (former,) = found
    lasts = former.expires_at and former.expires_at - former.created_at
    former.expires_at = min(now + overlap, former.expires_at or now + overlap)
    return issue(
        session,
        former.name,
        mode="test" if former.mode == "test" else "live",
        now=now,
        quiet_hours=former.quiet_hours,
        application_id=former.application_id,
        scopes=parsed(former.scopes),
        expires_at=now + lasts if lasts else None,
    )


def touch(session: Session, key_id: UUID, *, now: datetime) -> None:
    """Record that the key was used."""
    session.execute(update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now))


def revoke(session: Session, prefix: str, *, now: datetime) -> int:
    """Revoke the keys with this prefix; return how many were revoked."""
    query = update(ApiKey).where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None)).values(revoked_at=now)
    return int(session.connection().execute(query).rowcount)


def set_quiet_hours(session: Session, prefix: str, hours: str | None) -> int:
    """Set the quiet hours of new messages of the keys with this prefix; return how many keys were changed."""
    query = (
        update(ApiKey).where(ApiKey.prefix == prefix, ApiKey.revoked_at.is_(None)).values(quiet_hours=hours)
    )
    return int(session.connection().execute(query).rowcount)


def all_of(session: Session) -> Sequence[ApiKey]:
    """Return every key, oldest first."""
    return session.scalars(select(ApiKey).order_by(ApiKey.id)).all()


def prefixes(session: Session, ids: Collection[UUID], *, application_id: UUID) -> dict[UUID, str]:
    """Return the prefixes of those of the keys that belong to the application, by their ids."""
    if not ids:
        return {}
    query = select(ApiKey.id, ApiKey.prefix).where(
        ApiKey.id.in_(ids), ApiKey.application_id == application_id
    )
    return dict(session.execute(query).all())


def prefix_of(secret: str) -> str:
    """Return the part of a secret that names its key and gives nothing away."""
    return secret[:_PREFIX]


def digest(secret: str) -> str:
    """Return the stored digest of a secret; it has 256 random bits, so a fast unsalted hash is enough."""
    return hashlib.sha256(secret.encode()).hexdigest()


def _is_active(now: datetime) -> ColumnElement[bool]:
    return and_(ApiKey.revoked_at.is_(None), or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now))
