"""API keys in a process that has seen them before: few queries, and a revoked key ends soon."""

from datetime import datetime

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session

from smsapp.keys import queries as api_keys
from smsapp.keys.models import ApiKey
from smsapp.runtime import Runtime
from smsapp.web import auth
from smsapp.web.auth import CACHE_S, KeyCache


class Seconds:
    """A monotonic clock that a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def seconds(monkeypatch: pytest.MonkeyPatch) -> Seconds:
    seconds = Seconds()
    monkeypatch.setattr(auth, "time", seconds)
    return seconds


def test_a_key_is_looked_up_by_one_request_at_a_time(
    rt: Runtime, api_key: str, seconds: Seconds, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = KeyCache(rt)
    first = cache.find(api_key)
    meanwhile: list[auth.Caller | None] = []
    find = api_keys.find_active

    def slowly(session: Session, secret: str, *, now: datetime) -> ApiKey | None:
        meanwhile.extend(cache.known(secret) for _ in range(50))
        return find(session, secret, now=now)

    monkeypatch.setattr(api_keys, "find_active", slowly)
    seconds.now += CACHE_S
    renewed = cache.known(api_key)

    assert renewed == first
    assert meanwhile == [first] * 50


def test_a_key_in_use_costs_one_query_in_seconds(rt: Runtime, api_key: str, seconds: Seconds) -> None:
    cache = KeyCache(rt)
    cache.find(api_key)
    statements: list[str] = []
    event.listen(rt.sessions.kw["bind"], "before_cursor_execute", lambda *a: statements.append(a[2]))

    for _ in range(100):
        seconds.now += CACHE_S / 100
        assert cache.known(api_key)

    assert len([statement for statement in statements if "api_keys" in statement]) <= 2


def test_a_revoked_key_ends_in_time(rt: Runtime, api_key: str, seconds: Seconds) -> None:
    cache = KeyCache(rt)
    cache.find(api_key)
    with rt.transaction() as tx:
        assert api_keys.revoke(tx.session, api_key[:14], now=rt.clock())

    seconds.now += CACHE_S

    assert cache.known(api_key) is None
    assert cache.find(api_key) is None


def test_an_unknown_key_is_looked_up_by_find_alone(rt: Runtime) -> None:
    cache = KeyCache(rt)

    assert cache.known("sms_live_nobody") is None
    assert cache.find("sms_live_nobody") is None
