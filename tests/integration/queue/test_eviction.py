"""A Redis that may evict what it holds is refused in production, and found by `doctor` everywhere."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dev.servers import RedisServer
from smsapp.cli.doctor import _redis
from smsapp.queue.eviction import eviction_policy, forgetful_redis_fault
from smsapp.runtime import Runtime
from tests.support.environment import make_settings


@pytest.fixture
def forgetful(tmp_path: Path) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path, maxmemory_policy="allkeys-lru")
    server.start()
    yield server
    server.close()


def test_production_does_not_start_on_a_redis_that_evicts(forgetful: RedisServer) -> None:
    settings = make_settings(redis_url=forgetful.url)
    production = settings.model_copy(update={"env": "production"})

    fault = forgetful_redis_fault(production)

    assert fault is not None
    assert fault.startswith("REDIS_URL: ")
    assert "allkeys-lru" in fault
    assert "noeviction" in fault
    assert forgetful_redis_fault(settings) is None


def test_production_starts_on_a_redis_that_keeps_all_or_is_away(rt: Runtime, forgetful: RedisServer) -> None:
    keeps = rt.settings.model_copy(update={"env": "production"})
    away = make_settings(redis_url=forgetful.url).model_copy(update={"env": "production"})
    forgetful.close()

    assert (eviction_policy(keeps), forgetful_redis_fault(keeps)) == ("noeviction", None)
    assert (eviction_policy(away), forgetful_redis_fault(away)) == (None, None)


def test_doctor_finds_a_redis_that_evicts(rt: Runtime, forgetful: RedisServer) -> None:
    finding = _redis(replace(rt, settings=make_settings(redis_url=forgetful.url)))

    assert _redis(rt).fault is None
    assert finding.fault == "it evicts what it holds (maxmemory-policy allkeys-lru)"
    assert "noeviction" in finding.remedy
