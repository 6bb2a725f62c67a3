"""Bearer API keys and their scopes. Each process looks a key up once every few seconds, not once per request."""

import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from apiflask import APIFlask, HTTPTokenAuth
from flask import Response, g, request
from sqlalchemy.exc import SQLAlchemyError
from werkzeug.datastructures import Authorization

from smsapp.audit.acting import act_as, acting
from smsapp.db.sessions import reading, writing_at_once
from smsapp.keys import queries as api_keys
from smsapp.keys.scopes import Scope, missing, parsed
from smsapp.runtime import Runtime
from smsapp.web.problems import ProblemError, problem_response
from smsapp.web.wiring import provide, provided

CACHE_S = 5.0
"""A key that was revoked or has expired works for at most this long."""

_LOOKING_S = 1.0
"""While one request looks a key up again, the others rely on the last answer, for at most this part of CACHE_S."""

_TOUCH_EVERY = timedelta(minutes=1)
_MAX_CACHED = 10_000


class _BearerAuth(HTTPTokenAuth):
    """Reads the Authorization header; werkzeug, which reads it otherwise, fails to decode `Basic \xff`."""

    def get_auth(self) -> Authorization | None:
        """Return the caller's key, or None without one."""
        scheme, _, secret = request.headers.get("Authorization", "").partition(" ")
        return Authorization("bearer", token=secret.strip(" \t")) if scheme.lower() == "bearer" else None

    def authorize(self, role: Sequence[str], user: "Caller", _auth: Authorization) -> bool:
        """Return True if the caller's key has the scopes that the route declares as its roles.

        Raises:
            ProblemError: it has not.
        """
        if lacking := missing(role, user.scopes):
            detail = f"This key lacks the scope `{lacking[0]}`."
            raise ProblemError(403, "scope_missing", detail)
        return True


auth = _BearerAuth(scheme="Bearer", description="An API key, from `python -m smsapp keys create NAME`.")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who makes the request. `application_id` says what it may see: that is in every query for a caller."""

    key_id: UUID
    application_id: UUID
    mode: str
    scopes: frozenset[Scope]
    quiet_hours: str | None = None


class KeyCache:
    """Keys that were valid a few seconds ago, by the digest of their secret."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._known: dict[str, tuple[float, Caller]] = {}

    def known(self, secret: str) -> Caller | None:
        """Return the caller whose key this is, if it was seen before, else None: then `find` tells.

        Raises:
            SQLAlchemyError: it was this request's turn to look the key up again, and the database is away.
        """
        digest = api_keys.digest(secret)
        until, caller = self._known.get(digest, (0.0, None))
        if caller is None or until > time.monotonic():
            return caller
        self._known[digest] = (time.monotonic() + _LOOKING_S, caller)
        return self._renewed(secret, digest)

    def find(self, secret: str) -> Caller | None:
        """Return the caller whose key this is, or None."""
        return self.known(secret) or self._renewed(secret, api_keys.digest(secret))

    def _renewed(self, secret: str, digest: str) -> Caller | None:
        caller = self._look_up(secret)
        if caller is None:
            self._known.pop(digest, None)
            return None
        if len(self._known) >= _MAX_CACHED:
            self._known.clear()
        self._known[digest] = (time.monotonic() + CACHE_S - _LOOKING_S, caller)
        return caller

    def _look_up(self, secret: str) -> Caller | None:
        now = self._rt.clock()
        with reading(self._rt.sessions) as session:
            key = api_keys.find_active(session, secret, now=now)
        if key is None:
            return None
        if key.last_used_at is None or now - key.last_used_at > _TOUCH_EVERY:
            self._touch(key.id, now)
        return Caller(key.id, key.application_id, key.mode, parsed(key.scopes), key.quiet_hours)

    def _touch(self, key_id: UUID, now: datetime) -> None:
        """Note the use of a key, if the database takes it at once: the request may only want to read."""
        with suppress(SQLAlchemyError), writing_at_once(self._rt.sessions) as session:
            api_keys.touch(session, key_id, now=now)


def init_app(app: APIFlask, rt: Runtime) -> None:
    """Check keys against the runtime's database."""
    provide(app, KeyCache(rt))


@auth.verify_token
def _verify(token: str) -> Caller | None:
    cache = provided(KeyCache)
    caller = cache.find(token) if token else None
    if caller:
        g.caller = caller
        act_as(replace(acting(), who=api_keys.prefix_of(token)))
    return caller


@auth.error_processor
def _refuse(_error: object) -> Response:
    return problem_response(
        401,
        "unauthorized",
        "Send a valid API key as `Authorization: Bearer <key>`.",
        headers={"WWW-Authenticate": 'Bearer realm="smsapp"'},
    )
