"""The callback stream: what Redis took is there until its effects are committed."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import Any

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from dev.servers import RedisServer, free_port
from smsapp.callbacks.stream import GROUP, STREAM, CallbackStream
from smsapp.ids import new_id
from smsapp.ports import StreamUnavailableError
from smsapp.twilio.callback import Callback

NOW = datetime(2026, 11, 23, 12, 0, 0, 123456, tzinfo=UTC)
NO_TIME = timedelta()


@pytest.fixture
def redis(redis_url: str) -> Iterator[Redis]:
    with Redis.from_url(redis_url, protocol=2) as redis:
        yield redis


@pytest.fixture
def stream(redis: Redis) -> CallbackStream:
    return CallbackStream(redis, consumer="one")


@pytest.fixture
def other(redis: Redis) -> CallbackStream:
    """Another process in the same group."""
    return CallbackStream(redis, consumer="other")


def callback(number: int = 0, **changes: Any) -> Callback:
    plain = Callback(
        receipt_id=new_id(),
        kind="status",
        target="msg_01890a5d96a07c4b9f3e2d1c0b0a0908-2",
        body=f"MessageStatus=sent&Number={number}",
        idempotency_token="7f3c",
        received_at=NOW,
    )
    return plain._replace(**changes)


def append(stream: CallbackStream, *callbacks: Callback) -> bool:
    return stream.append(callbacks, flag="woken", flag_ttl_ms=60_000)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({}, id="plain"),
        pytest.param({"kind": "inbound", "target": None, "idempotency_token": None}, id="inbound"),
        pytest.param({"body": ""}, id="empty"),
        pytest.param({"body": "Body=Grüße 💥\x00\r\n"}, id="odd characters"),
        pytest.param({"body": "x" * 65_536}, id="long"),
    ],
)
def test_a_callback_comes_out_as_it_went_in(stream: CallbackStream, changes: dict[str, Any]) -> None:
    sent = callback(**changes)

    append(stream, sent)

    assert [entry.callback for entry in stream.read(10)] == [sent]


def test_callbacks_come_out_in_the_order_in_which_they_went_in(stream: CallbackStream) -> None:
    sent = [callback(number) for number in range(20)]
    append(stream, *sent[:10])
    append(stream, *sent[10:])

    read = [*stream.read(7), *stream.read(100)]

    assert [entry.callback for entry in read] == sent


def test_each_callback_goes_to_one_consumer(stream: CallbackStream, other: CallbackStream) -> None:
    append(stream, callback(1), callback(2))

    assert [len(stream.read(1)), len(other.read(10)), len(stream.read(10))] == [1, 1, 0]


def test_the_first_append_tells_that_somebody_must_be_woken(stream: CallbackStream, redis: Redis) -> None:
    first, second = append(stream, callback()), append(stream, callback())
    redis.delete("woken")

    assert (first, second, append(stream, callback())) == (True, False, True)
    assert 0 < redis.pttl("woken") <= 60_000


def test_an_entry_is_there_until_it_is_acknowledged(stream: CallbackStream, other: CallbackStream) -> None:
    append(stream, callback(1), callback(2))
    one, two = stream.read(10)

    stream.acknowledge([one.entry_id])

    assert stream.length() == 1
    assert [entry.entry_id for entry in other.reclaim(10, idle=NO_TIME)] == [two.entry_id]


def test_acknowledging_twice_or_nothing_is_harmless(stream: CallbackStream) -> None:
    append(stream, callback())
    ids = [entry.entry_id for entry in stream.read(10)]

    stream.acknowledge(ids)
    stream.acknowledge(ids)
    stream.acknowledge([])

    assert stream.length() == 0


def test_what_a_living_consumer_holds_is_not_taken_over(
    stream: CallbackStream, other: CallbackStream
) -> None:
    append(stream, callback())
    stream.read(10)

    assert other.reclaim(10, idle=timedelta(minutes=1)) == []


def test_reading_waits_for_the_first(stream: CallbackStream, other: CallbackStream) -> None:
    read: list[int] = []
    stream.read(1)  # make the group
    reader = Thread(target=lambda: read.append(len(stream.read(10, wait=timedelta(seconds=30)))))
    reader.start()

    append(other, callback())
    reader.join(timeout=10)

    assert read == [1]


def test_reading_does_not_wait_for_ever(stream: CallbackStream) -> None:
    assert stream.read(10, wait=timedelta(milliseconds=5)) == []


@pytest.mark.parametrize("lost", ["stream", "group"])
def test_a_lost_group_comes_back(stream: CallbackStream, redis: Redis, lost: str) -> None:
    append(stream, callback(1))
    stream.read(10)
    if lost == "stream":
        redis.flushall()
    else:
        redis.xgroup_destroy(STREAM, GROUP)

    reclaimed = stream.reclaim(10, idle=NO_TIME)
    append(stream, callback(2))
    read = stream.read(10)

    assert reclaimed == []
    # Without its group Redis forgot who had read what: then everything is read again rather than lost.
    assert len(read) == (1 if lost == "stream" else 2)


def test_two_consumers_that_miss_the_group_at_once_both_go_on(
    stream: CallbackStream, other: CallbackStream
) -> None:
    append(stream, callback())
    readers = [Thread(target=each.read, args=(1,)) for each in (stream, other)]

    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()

    assert len([*stream.reclaim(10, idle=NO_TIME)]) == 1


def test_the_length_counts_what_waits_and_what_is_being_processed(stream: CallbackStream) -> None:
    empty = stream.length()
    append(stream, callback(1), callback(2))
    stream.read(1)

    assert (empty, stream.length()) == (0, 2)


@pytest.mark.parametrize(
    "fields",
    [
        {"v": b"no JSON"},
        {"v": b"[]"},
        {"v": b"{}"},
        {"v": b"null"},
        {"other": b"field"},
        {"v": b"[1,2,3,4,5,6]"},
    ],
)
def test_an_entry_that_cannot_be_read_is_still_handed_out(
    stream: CallbackStream, redis: Redis, fields: dict[Any, Any]
) -> None:
    redis.xadd(STREAM, fields)

    (entry,) = stream.read(10)

    assert entry.callback is None
    assert entry.raw == fields.get("v", b"").decode()


def test_no_redis_is_told_as_such() -> None:
    nobody = Redis.from_url(f"redis://127.0.0.1:{free_port()}/0", retry=Retry(NoBackoff(), 0))

    with pytest.raises(StreamUnavailableError, match="ConnectionError"):
        append(CallbackStream(nobody, consumer="one"), callback())


def test_a_full_redis_is_told_as_such_and_the_connection_stays_usable(
    stream: CallbackStream, redis: Redis
) -> None:
    redis.config_set("maxmemory", "1")
    try:
        with pytest.raises(StreamUnavailableError):
            append(stream, callback(1), callback(2))
    finally:
        redis.config_set("maxmemory", "0")
    kept = callback(3)
    redis.flushall()

    append(stream, kept)

    assert [entry.callback for entry in stream.read(10)] == [kept]


def test_a_frozen_redis_costs_no_more_than_its_timeout(tmp_path_factory: pytest.TempPathFactory) -> None:
    with RedisServer(tmp_path_factory.mktemp("frozen")) as server:
        redis = Redis.from_url(server.url, socket_timeout=0.2, retry=Retry(NoBackoff(), 0), protocol=2)
        stream = CallbackStream(redis, consumer="one")
        append(stream, callback())
        server.pause()
        try:
            with pytest.raises(StreamUnavailableError, match="Timeout"):
                append(stream, callback())
        finally:
            server.resume()

        append(stream, callback())

        # The one without an answer may be there, too: its receipt makes that harmless.
        assert stream.length() in {2, 3}
        redis.close()


def test_a_connection_that_was_closed_meanwhile_costs_nothing(redis: Redis, stream: CallbackStream) -> None:
    first, second = callback(1), callback(2)
    append(stream, first)
    redis.client_kill_filter(_type="normal", skipme=True)

    somebody_must_be_woken = append(stream, second)

    assert [entry.callback for entry in stream.read(10)] == [first, second]
    assert somebody_must_be_woken  # whoever raised the flag may have been us, whose answer was lost


def test_connections_are_used_again(redis: Redis, stream: CallbackStream) -> None:
    append(stream, callback())
    before = redis.info("stats")["total_connections_received"]

    for number in range(5):
        append(stream, callback(number))

    assert redis.info("stats")["total_connections_received"] == before
