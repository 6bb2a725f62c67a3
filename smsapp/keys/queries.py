"""API keys: only digests are stored, so a stolen database contains no usable key."""

import hashlib
import secrets
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal
from uuid import UUID

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from smsapp.ids import new_id
from smsapp.keys.models import DEFAULT_APPLICATION, ApiKey

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
) -> str:
    """Create a key and return its secret, which is not stored and cannot be shown again."""
    secret = f"sms_{mode}_{secrets.token_urlsafe(32)}"
    key = ApiKey(
        id=new_id(),
        application_id=application_id,
        name=name,
        mode=mode,
        prefix=prefix_of(secret),
        secret_sha256=digest(secret),
        created_at=now,
        quiet_hours=quiet_hours,
    )
    session.add(key)
    return secret


def find_active(session: Session, secret: str) -> ApiKey | None:
    """Return the key with this secret, or None when there is none or it was revoked."""
    query = select(ApiKey).where(ApiKey.secret_sha256 == digest(secret), ApiKey.revoked_at.is_(None))
    return session.scalars(query).one_or_none()


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
