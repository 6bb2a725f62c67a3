"""Publishing: what goes over the channel, and that whoever commits neither waits for Redis nor hears of its faults."""

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import orjson
import pytest
from redis import Redis
from structlog.testing import capture_logs

from dev.servers import RedisServer
from smsapp.config import Settings
from smsapp.connect import connect_redis
from smsapp.news.channel import Publication, Subscription, channel_of
from smsapp.news.publish import RedisNews
from smsapp.news.rules import Bulletin
from smsapp.runtime import Runtime
from smsapp.sending.cancel import cancel_pending
from tests.support.environment import make_settings
from tests.support.messages import Accept


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that this test may break."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def redis(own_redis: RedisServer) -> Redis:
    settings = make_settings(database_url="sqlite:///unused.db", redis_url=own_redis.url)
    return connect_redis(settings, timeout_s=0.5)


@pytest.fixture
def news(redis: Redis) -> Iterator[RedisNews]:
    news = RedisNews(redis)
    yield news
    news.flush()


def next_heard(subscription: Subscription) -> Bulletin:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        if bulletin := subscription.hear(0.2):
            return bulletin
    raise AssertionError("nothing was heard")


def test_no_personal_data_is_published(rt: Runtime, settings: Settings, accept: Accept) -> None:
    news = RedisNews(connect_redis(settings, timeout_s=0.5))
    to, body, reference = "+14155550123", "Your code is 471100", "patient-9"
    with Redis.from_url(settings.redis_url) as redis:
        channel = redis.pubsub(ignore_subscribe_messages=True)
        channel.subscribe(channel_of(redis))
        channel.get_message(timeout=5)
        ids = [accept(to, body, client_reference=reference, tags=["spring"]) for _ in range(3)]
        cancel_pending(replace(rt, news=news), ids)
        news.flush()
        heard = None
        while heard is None:
            heard = channel.get_message(timeout=5)
        channel.close()

    published = orjson.loads(heard["data"])
    assert published.keys() == {"outcomes", "position"}
    assert sorted(published["outcomes"]) == [each.hex for each in ids]
    assert published["position"] == 6  # three accepted, three canceled


def test_news_of_a_burst_share_a_bulletin(redis: Redis, news: RedisNews) -> None:
    ids = [uuid4() for _ in range(200)]
    with Subscription(redis) as subscription:
        for position, each in enumerate(ids, start=1):
            news.publish([each], position)
        news.flush()
        heard = [next_heard(subscription)]
        while heard[-1].position != 200:
            heard.append(next_heard(subscription))

    assert frozenset().union(*(bulletin.outcomes for bulletin in heard)) == {each.hex for each in ids}
    assert len(heard) < 50


@pytest.mark.parametrize("how", ["frozen", "stopped"])
def test_whoever_commits_does_not_wait_for_redis(
    own_redis: RedisServer, redis: Redis, news: RedisNews, how: str
) -> None:
    news.publish([uuid4()], 1)
    news.flush()
    own_redis.pause() if how == "frozen" else own_redis.stop()

    with capture_logs() as lines:
        began = time.monotonic()
        for position in range(2_000):
            news.publish([uuid4()], position)
        took_s = time.monotonic() - began
        deadline = time.monotonic() + 30
        while news._failed < 3:
            assert time.monotonic() < deadline
            time.sleep(0.05)
    own_redis.resume() if how == "frozen" else own_redis.start()

    assert took_s < 0.5
    # A line a minute at most, however often it fails: none for the next failures.
    assert {(line["event"], line["failed"]) for line in lines} == {("news_not_published", 1)}
    with Subscription(redis) as subscription:
        assert next_heard(subscription).missed


def test_the_databases_of_one_redis_do_not_hear_of_each_other(own_redis: RedisServer) -> None:
    urls = (own_redis.url.removesuffix("/0") + f"/{number}" for number in range(2))
    here, there = (Redis.from_url(url, protocol=2) for url in urls)
    news = RedisNews(here)

    with Subscription(there) as elsewhere, Subscription(here) as ours:
        news.publish([uuid4()], 1)

        assert next_heard(ours).position == 1
        assert elsewhere.hear(0.3) is None
    here.close()
    there.close()


def test_a_ping_is_answered_by_a_bulletin_that_says_nothing(redis: Redis) -> None:
    with Subscription(redis) as subscription:
        subscription.ping()

        assert next_heard(subscription) == Bulletin()


def test_a_fault_of_ours_ends_one_bulletin_and_not_the_news(
    redis: Redis, news: RedisNews, monkeypatch: pytest.MonkeyPatch
) -> None:
    send = Publication.send
    broken = iter([True])

    def sometimes(publication: Publication, bulletin: Bulletin) -> int:
        if next(broken, False):
            raise LookupError("a fault of ours")
        return send(publication, bulletin)

    monkeypatch.setattr(Publication, "send", sometimes)
    with Subscription(redis) as subscription, capture_logs() as logs:
        news.publish([], 1)
        heard = [next_heard(subscription)]
        news.publish([], 2)
        while heard[-1].position != 2:
            heard.append(next_heard(subscription))

    assert any(bulletin.missed for bulletin in heard)
    assert "news_broke" in [line["event"] for line in logs]
