"""Requests with an Idempotency-Key: executed once, and answered identically however often they are retried.

The answer is stored in the transaction of the request's effect, so neither exists without the other.
"""

import hashlib
import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Table, delete, select
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db import bulk_writes as bulk
from smsapp.db.models import IdempotencyKey
from smsapp.db.sessions import reading, writing

_KEYS: Table = IdempotencyKey.__table__  # type: ignore[assignment]

Identity = tuple[UUID, str]
"""The API key's id and the Idempotency-Key."""

Document = dict[str, Any]


class IdempotencyKeyReusedError(Exception):
    """The Idempotency-Key was used before, for a different request."""


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that may be retried: its API key, the Idempotency-Key, and a digest of what it means.

    The digest is keyed with the first of `secrets`: from a plain one, whoever reads the database could confirm a guess
    of a short code. `former` is what earlier versions made plain digests of, and the request as it came; they are
    needed until the last digest of that kind has expired, 48 hours after the update.
    """

    api_key_id: UUID
    key: str
    digest: str
    secrets: Sequence[str] = field(default=(), repr=False)
    meant: bytes = field(default=b"", repr=False)
    former: tuple[bytes, ...] = field(default=(), repr=False)

    @property
    def identity(self) -> Identity:
        """Return what must be unique."""
        return self.api_key_id, self.key

    def repeats(self, digest: str) -> bool:
        """Return whether this digest is of the same request, also one made before a secret was rotated."""
        if digest == self.digest or any(digest == _keyed(each, self.meant) for each in self.secrets[1:]):
            return True
        return any(digest == hashlib.sha256(each).hexdigest() for each in self.former)


@dataclass(frozen=True, slots=True)
class Answered:
    """The answer to a request; `replayed` if it is the stored answer of the same Idempotency-Key."""

    answer: Document
    replayed: bool


def identify(
    api_key_id: UUID,
    key: str | None,
    path: str,
    meaning: bytes,
    *,
    secrets: Sequence[str],
    raw: bytes | None = None,
) -> IdempotentRequest | None:
    """Return what identifies a retry of a request; None when it has no key.

    `meaning` is the same for all requests that mean the same; `raw` is the request as it came. `secrets` are the
    current one and those that are being rotated out.
    """
    if key is None:
        return None
    start = path.encode() + b"\n"
    meant = start + meaning
    former = (meant,) if raw is None else (meant, start + raw)
    return IdempotentRequest(api_key_id, key, _keyed(secrets[0], meant), secrets, meant, former)


def _keyed(secret: str, meant: bytes) -> str:
    return hmac.digest(secret.encode(), b"idempotency\n" + meant, "sha256").hex()


def answer_once(
    sessions: sessionmaker[Session],
    request: IdempotentRequest | None,
    act: Callable[[Session], Document],
    *,
    now: datetime,
) -> Answered:
    """Act and store the answer in one transaction, or return the answer stored under the key and do nothing.

    Raises:
        IdempotencyKeyReusedError: the key stands for another request.
    """
    with writing(sessions) as session:
        answer = act(session)
        if request is None or remember(session, [(request, answer)], now=now):
            return Answered(answer, replayed=False)
        session.rollback()
    found = find_answer(sessions, request)
    if found is None:  # removed meanwhile, so we no longer know which request it answered
        raise IdempotencyKeyReusedError
    return found


def find_answer(sessions: sessionmaker[Session], request: IdempotentRequest | None) -> Answered | None:
    """Return the stored answer to this request; None when the request is new or has no key.

    Raises:
        IdempotencyKeyReusedError: the key stands for another request.
    """
    if request is None:
        return None
    with reading(sessions) as session:
        return recall(session, request)


def remember(
    session: Session, answers: Sequence[tuple[IdempotentRequest, Document]], *, now: datetime
) -> set[Identity]:
    """Store answers and return the identities that were free.

    On PostgreSQL this waits for a concurrent transaction that inserts one of the keys. So exactly one of several
    concurrent requests proceeds, and the others find its answer. All insert the keys in the same order, so they cannot
    deadlock.
    """
    rows = [
        {
            "api_key_id": request.api_key_id,
            "key": request.key,
            "request_sha256": request.digest,
            "answer": answer,
            "created_at": now,
        }
        for request, answer in sorted(answers, key=lambda item: item[0].identity)
    ]
    written = bulk.insert_new(session, _KEYS, ("api_key_id", "key"), rows)
    return {(api_key_id, key) for api_key_id, key in written}


def recall(session: Session, request: IdempotentRequest) -> Answered | None:
    """Return the answer stored under the request's key, or None.

    Raises:
        IdempotencyKeyReusedError: the key stands for another request.
    """
    kept = session.get(IdempotencyKey, request.identity)
    if kept is None:
        return None
    if not request.repeats(kept.request_sha256):
        raise IdempotencyKeyReusedError
    return Answered(kept.answer, replayed=True)


def forget(session: Session, *, before: datetime) -> int:
    """Remove answers older than `before`; return how many were removed."""
    statement = delete(IdempotencyKey).where(IdempotencyKey.created_at < before)
    return int(session.connection().execute(statement).rowcount)


def oldest(session: Session) -> datetime | None:
    """Return when the oldest stored answer was given, None without any."""
    return session.scalar(select(IdempotencyKey.created_at).order_by(IdempotencyKey.created_at).limit(1))
