"""A thousand requests wait: for nothing, for news, for news that is lost, and while Redis is away."""

import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import pytest
from redis import Redis
from sqlalchemy.exc import OperationalError

from dev.servers import RedisServer
from smsapp.config import Settings
from smsapp.connect import connect_redis
from smsapp.events.look_for_news import publish_position
from smsapp.messages.wait_for_outcome import OutcomeWaits
from smsapp.news.desk import LOOK_EVERY_S, NewsDesk
from smsapp.news.publish import RedisNews
from smsapp.runtime import Runtime
from smsapp.sending.cancel import cancel_pending
from tests.support.environment import make_settings
from tests.support.fakes import FakeNews
from tests.support.messages import Accept
from tests.support.waiting import Waiters, counted_queries, open_desk, somebody

MESSAGES = 20
EACH = 50
ALL = MESSAGES * EACH
LATE_S = LOOK_EVERY_S + 9
"""What is allowed to take a second, on a machine that others may be using."""


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that this test may break."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def settings(database_url: str, own_redis: RedisServer) -> Settings:
    return make_settings(database_url=database_url, redis_url=own_redis.url)


@pytest.fixture
def worker(rt: Runtime, settings: Settings) -> Iterator[Runtime]:
    """A process that commits and publishes."""
    news = RedisNews(connect_redis(settings, timeout_s=0.5))
    yield replace(rt, news=news)
    news.flush()


@pytest.fixture
def desk(rt: Runtime, settings: Settings) -> Iterator[NewsDesk]:
    with open_desk(rt, settings) as desk:
        yield desk


@pytest.fixture
def waiters(rt: Runtime, desk: NewsDesk) -> Iterator[Waiters]:
    with Waiters(rt, desk) as waiters:
        yield waiters


@pytest.fixture
def ids(accept: Accept) -> list[UUID]:
    """Messages that wait to be sent."""
    return [accept(body=f"text {number}") for number in range(MESSAGES)]


def until_heard(desk: NewsDesk) -> None:
    """Return once the desk hears the channel and has looked at what came before."""
    deadline = time.monotonic() + 30
    while desk._is_down or not desk._heard_news_at or desk._look_from is not None:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_thousand_wait_for_nothing_without_a_query_and_each_is_woken_once(
    worker: Runtime, waiters: Waiters, desk: NewsDesk, ids: list[UUID]
) -> None:
    waiters.wait_for(ids, each=EACH)
    until_heard(desk)

    with counted_queries(worker.sessions) as while_nothing_happens:
        time.sleep(2)
    assert while_nothing_happens == []

    cancel_pending(worker, ids[:1])
    waiters.all_answered(EACH)
    with counted_queries(worker.sessions) as queries:
        cancel_pending(worker, ids[1:3])
        waiters.all_answered(3 * EACH)
    reads = [each for each in queries if each.startswith("SELECT messages.") and "api_keys" in each]
    assert waiters.answers.keys() == set(ids[:3])
    assert len(reads) == 2 * EACH


@pytest.mark.parametrize("how", ["restarted", "killed", "flushed", "disconnected"])
def test_whoever_waits_while_redis_goes_and_comes_gets_the_answer_a_second_late_at_most(
    worker: Runtime, waiters: Waiters, desk: NewsDesk, ids: list[UUID], own_redis: RedisServer, how: str
) -> None:
    waiters.wait_for(ids, each=EACH)
    until_heard(desk)
    with Redis.from_url(own_redis.url) as redis:
        if how == "flushed":
            redis.flushall()
        elif how == "disconnected":
            redis.client_kill_filter(_type="pubsub")
            redis.client_kill_filter(_type="normal", skipme=True)
        elif how == "killed":
            own_redis.kill()
        else:
            own_redis.stop()

    cancel_pending(worker, ids[:10])
    during = time.monotonic()
    assert waiters.all_answered(10 * EACH) - during < LATE_S

    if not own_redis.running:
        own_redis.start()
    cancel_pending(worker, ids[10:])
    after = time.monotonic()
    assert waiters.all_answered(ALL) - after < LATE_S


def test_a_frozen_redis_makes_nobody_late_by_more_than_the_time_to_notice(
    worker: Runtime, waiters: Waiters, desk: NewsDesk, ids: list[UUID], own_redis: RedisServer
) -> None:
    waiters.wait_for(ids, each=EACH)
    until_heard(desk)
    own_redis.pause()

    began = time.monotonic()
    cancel_pending(worker, ids[:10])
    assert time.monotonic() - began < LATE_S  # whoever commits does not wait for Redis
    assert waiters.all_answered(10 * EACH) - began < 2 + LATE_S

    own_redis.resume()
    cancel_pending(worker, ids[10:])
    again = time.monotonic()
    assert waiters.all_answered(ALL) - again < LATE_S


def test_without_redis_one_query_a_second_serves_a_thousand(
    worker: Runtime, waiters: Waiters, ids: list[UUID], own_redis: RedisServer
) -> None:
    own_redis.stop()
    waiters.wait_for(ids, each=EACH)

    with counted_queries(worker.sessions) as queries:
        time.sleep(3.5 * LOOK_EVERY_S)

    assert 2 <= len(queries) <= 4
    cancel_pending(worker, ids)
    waiters.all_answered(ALL)


def test_a_bulletin_that_was_lost_is_made_up_for_by_the_sweep(
    worker: Runtime, waiters: Waiters, desk: NewsDesk, ids: list[UUID]
) -> None:
    waiters.wait_for(ids, each=EACH)
    publish_position(worker)
    worker.news.flush()  # type: ignore[attr-defined]
    until_heard(desk)
    cancel_pending(
        replace(worker, news=FakeNews()), ids
    )  # its process dies between the commit and the bulletin

    with counted_queries(worker.sessions) as queries:
        publish_position(worker)
        waiters.all_answered(ALL)
        publish_position(worker)  # nothing has happened since, so nobody looks
        time.sleep(2 * LOOK_EVERY_S)

    # The sweep's own two, one for all, and one for each answer.
    assert len(queries) == 2 + 1 + ALL


def test_when_not_even_the_sweep_is_heard_one_look_serves_all(
    worker: Runtime, rt: Runtime, settings: Settings, ids: list[UUID]
) -> None:
    with open_desk(rt, settings, quiet_after=timedelta(seconds=1)) as desk, Waiters(rt, desk) as waiters:
        waiters.wait_for(ids, each=EACH)
        until_heard(desk)
        cancel_pending(replace(worker, news=FakeNews()), ids)
        began = time.monotonic()

        assert waiters.all_answered(ALL) - began < 1 + LATE_S


def test_what_comes_between_the_look_and_the_sleep_is_not_missed(
    worker: Runtime, desk: NewsDesk, ids: list[UUID]
) -> None:
    with desk.for_outcome(ids[0]) as wait:
        desk.listen()
        until_heard(desk)
        wait.sleep(0)  # what happened before the subscription began may have woken it already
        cancel_pending(worker, ids[:1])
        worker.news.flush()  # type: ignore[attr-defined]
        time.sleep(0.5)  # the bulletin arrives while nobody sleeps yet
        began = time.monotonic()
        wait.sleep(20)

        assert time.monotonic() - began < 5


def test_whoever_need_not_wait_opens_no_subscription(
    worker: Runtime, desk: NewsDesk, ids: list[UUID], own_redis: RedisServer
) -> None:
    cancel_pending(worker, ids[:1])
    waits = OutcomeWaits(worker, desk)

    known = waits.find(ids[0], somebody(), seconds=20, client=None)
    pending = waits.find(ids[1], somebody(), seconds=0, client=None)

    assert (known and known.status, pending and pending.status) == ("canceled", "pending")
    with Redis.from_url(own_redis.url) as redis:
        assert redis.pubsub_channels() == []
    waits.find(ids[1], somebody(), seconds=0.5, client=None)
    with Redis.from_url(own_redis.url) as redis:
        assert redis.pubsub_channels() == [b"smsapp:news:0"]


def test_a_hanging_database_holds_up_nobody_who_waits_for_a_turn_for_long(desk: NewsDesk) -> None:
    began = time.monotonic()
    with ExitStack() as hanging:
        for _ in range(4):
            hanging.enter_context(desk.answering())
        with desk.answering():
            assert 1 < time.monotonic() - began < 10
    with desk.answering():
        assert time.monotonic() - began < 10


def test_nobody_is_woken_for_what_was_rolled_back(rt: Runtime, ids: list[UUID]) -> None:
    news = FakeNews()
    ours = replace(rt, news=news)

    with suppress(RuntimeError), ours.transaction() as tx:
        tx.publish_outcomes(ids)
        raise RuntimeError
    with ours.transaction() as tx:
        with suppress(RuntimeError), tx.savepoint():
            tx.publish_outcomes(ids[:1])
            raise RuntimeError
        tx.publish_outcomes(ids[1:2])

    assert news == FakeNews([ids[1]], [])


def test_a_look_that_fails_is_taken_again(
    worker: Runtime, settings: Settings, ids: list[UUID], own_redis: RedisServer
) -> None:
    fails = [True, True]

    def look(wanted: object) -> object:
        if fails and fails.pop():
            raise OperationalError("SELECT", None, Exception())
        return original(wanted)  # type: ignore[arg-type]

    own_redis.stop()
    with open_desk(worker, settings) as desk, Waiters(worker, desk) as waiters:
        original, desk._ask = desk._ask, look  # type: ignore[assignment]
        waiters.wait_for(ids[:1], each=1)
        cancel_pending(worker, ids[:1])

        waiters.all_answered(1)
        assert fails == []
