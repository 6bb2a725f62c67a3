"""Redis or the database away: what was promised with a 202 or a 204 is kept somewhere, or nothing is promised."""

import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg import sql
from redis import Redis
from sqlalchemy import make_url, select
from werkzeug.test import TestResponse

from dev.servers import RedisServer
from simulator.signature import sign
from smsapp.callbacks.models import SpooledCallback
from smsapp.callbacks.stream import STREAM
from smsapp.config import Settings
from smsapp.health.schemas import Readiness
from tests.support.environment import AUTH_TOKEN, BASE_URL, make_settings
from tests.support.web import TO, Api, problem, serving

PATH = "/twilio/status/msg_018f00000000700080000000000000aa"
FORM = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered", "Body": "ä+ %00"}
PROMPTLY_S = 1.5
CALLERS = 60


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that this test may break."""
    with RedisServer(tmp_path / "redis") as server:
        yield server


@pytest.fixture
def settings(database_url: str, own_redis: RedisServer) -> Settings:
    return make_settings(database_url=database_url, redis_url=own_redis.url)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def break_redis(server: RedisServer, how: str) -> None:
    if how == "stopped":
        server.stop()
    elif how == "paused":
        server.pause()
    else:
        with Redis.from_url(server.url) as redis:
            redis.config_set("maxmemory", 1)


on_sqlite = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
every_break = pytest.mark.parametrize("how", ["stopped", "paused", "full"])


@contextmanager
def database_away(settings: Settings, api: Api) -> Iterator[None]:
    """Take the database from the application, open connections included."""
    engine = api.rt.sessions.kw["bind"]
    if settings.is_sqlite:
        path = Path(settings.database_url.removeprefix("sqlite:///"))
        engine.dispose()
        path.rename(path.with_suffix(".away"))
        path.mkdir()  # so that it cannot be opened, nor made anew
        yield
        path.rmdir()
        path.with_suffix(".away").rename(path)
        return
    url = make_url(settings.database_url)
    name = url.database or ""
    elsewhere = url.set(database="postgres", drivername="postgresql").render_as_string(hide_password=False)
    with psycopg.connect(elsewhere, autocommit=True) as admin:
        allow = sql.SQL("ALTER DATABASE {} ALLOW_CONNECTIONS {}")
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("false")))
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        yield
        admin.execute(allow.format(sql.Identifier(name), sql.SQL("true")))


def call_back(api: Api, path: str = PATH) -> tuple[TestResponse, float]:
    """Post a signed callback; return the answer and how long it took."""
    began = time.monotonic()
    headers = {"X-Twilio-Signature": sign(AUTH_TOKEN, BASE_URL + path, FORM.items())}
    return api.client.post(path, data=FORM, headers=headers), time.monotonic() - began


def spool(api: Api) -> list[SpooledCallback]:
    with api.rt.sessions() as session:
        return list(session.scalars(select(SpooledCallback)))


@every_break
def test_a_text_is_taken_without_redis(api: Api, own_redis: RedisServer, how: str) -> None:
    break_redis(own_redis, how)

    began = time.monotonic()
    answer = api.send()
    took_s = time.monotonic() - began

    assert took_s < PROMPTLY_S
    assert api.stored(answer["id"]).status == "pending"


@every_break
def test_a_callback_without_redis_waits_in_the_inbox(api: Api, own_redis: RedisServer, how: str) -> None:
    break_redis(own_redis, how)

    answer, took_s = call_back(api)

    assert answer.status_code == 204
    assert took_s < PROMPTLY_S
    (entry,) = spool(api)
    assert (entry.kind, entry.target, entry.reason) == (
        "status",
        PATH.rpartition("/")[2],
        "redis_unavailable",
    )
    assert entry.body == "MessageSid=SM" + "1" * 32 + "&MessageStatus=delivered&Body=%C3%A4%2B+%2500"


def test_only_the_first_callback_waits_for_a_silent_redis(api: Api, own_redis: RedisServer) -> None:
    own_redis.pause()

    answers = [call_back(api) for _ in range(5)]

    assert [answer.status_code for answer, _ in answers] == [204] * 5
    assert sum(took_s for _, took_s in answers) < PROMPTLY_S
    assert len(spool(api)) == 5


def test_callbacks_at_the_same_moment_all_wait_in_the_inbox(api: Api, own_redis: RedisServer) -> None:
    own_redis.stop()
    barrier = threading.Barrier(CALLERS)

    def one(number: int) -> int:
        barrier.wait()
        return call_back(api, f"/twilio/status/m{number}")[0].status_code

    with ThreadPoolExecutor(CALLERS) as threads:
        statuses = set(threads.map(one, range(CALLERS)))

    assert statuses == {204}
    assert {entry.target for entry in spool(api)} == {f"m{number}" for number in range(CALLERS)}


def test_a_stranger_finds_no_way_into_the_inbox(api: Api, own_redis: RedisServer) -> None:
    own_redis.stop()

    answer = api.client.post(PATH, data=FORM, headers={"X-Twilio-Signature": "wrong"})

    problem(answer, 403, "signature_invalid")
    assert spool(api) == []


def test_redis_is_used_again_once_it_is_back(
    api: Api, own_redis: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_redis.stop()
    call_back(api)
    own_redis.start()
    later: dict[str, Any] = {"monotonic": lambda: time.monotonic() + 2}
    monkeypatch.setattr("smsapp.callbacks.receiver.time", type("Later", (), later))

    call_back(api)

    with Redis.from_url(own_redis.url) as redis:
        assert redis.xlen(STREAM) == 1
    assert len(spool(api)) == 1


def test_a_text_is_refused_without_a_database(api: Api, settings: Settings) -> None:
    api.send()  # the key is known by now, as it is in service

    with database_away(settings, api):
        response = api.post({"to": TO, "body": "hello"})

        problem(response, 503, "database_unavailable")
        assert int(response.headers["Retry-After"]) > 0
        problem(api.get("/sms/messages"), 503, "database_unavailable")


def test_a_caller_is_not_told_that_his_key_is_wrong_when_nobody_can_know(
    api: Api, settings: Settings
) -> None:
    with database_away(settings, api):
        problem(api.post({"to": TO, "body": "hello"}), 503, "database_unavailable")


def test_a_callback_needs_no_database(api: Api, settings: Settings, own_redis: RedisServer) -> None:
    with database_away(settings, api):
        answer, _ = call_back(api)

    assert answer.status_code == 204
    with Redis.from_url(own_redis.url) as redis:
        assert redis.xlen(STREAM) == 1


def test_a_callback_that_nothing_can_keep_is_refused_so_that_twilio_repeats_it(
    api: Api, settings: Settings, own_redis: RedisServer
) -> None:
    own_redis.stop()

    with database_away(settings, api):
        answer, _ = call_back(api)

    problem(answer, 503, "unavailable")
    assert int(answer.headers["Retry-After"]) > 0


def test_the_service_works_again_once_the_database_is_back(api: Api, settings: Settings) -> None:
    with database_away(settings, api):
        problem(api.post({"to": TO, "body": "hello"}), 503, "database_unavailable")

    assert api.send()["status"] == "pending"


def test_readiness_tells_the_two_apart(api: Api, settings: Settings, own_redis: RedisServer) -> None:
    def ready() -> tuple[int, str, set[str]]:
        response = api.client.get("/readyz")
        told = Readiness.model_validate(response.json)
        return (
            response.status_code,
            told.status,
            {name for name, state in told.checks.items() if state != "ok"},
        )

    states = [ready()]
    own_redis.stop()
    states.append(ready())
    with database_away(settings, api):
        states.append(ready())

    assert states == [
        (200, "ok", set()),
        (200, "degraded", {"redis"}),
        (503, "unavailable", {"redis", "database"}),
    ]
    assert api.client.get("/livez").json == {"status": "ok"}


@pytest.mark.parametrize(
    ("how", "state"),
    [
        ("REPLICAOF 127.0.0.1 1", "read_only"),
        ("CONFIG SET min-replicas-to-write 1", "no_replicas"),
        ("CONFIG SET requirepass secret", "wrong_password"),
        ("ACL SETUSER default -set", "not_permitted"),
        ("full", "out_of_memory"),
        ("stopped", "ConnectionError"),
    ],
)
def test_readiness_says_what_redis_refuses(api: Api, own_redis: RedisServer, how: str, state: str) -> None:
    if " " in how:
        with Redis.from_url(own_redis.url) as redis:
            redis.execute_command(*how.split())
    else:
        break_redis(own_redis, how)

    response = api.client.get("/readyz")

    assert (response.status_code, response.json["status"]) == (200, "degraded")
    assert response.json["checks"] == {"database": "ok", "redis": state}


@on_postgres  # a file has no failover
def test_connections_that_a_failover_made_read_only_are_dropped(api: Api) -> None:
    api.send()  # the key's use is noted: noting it would find the connection out, and spare the first request
    make_open_connections_read_only(api)

    answers = [api.post({"to": TO, "body": "hello"}) for _ in range(3)]

    problem(answers[0], 503, "database_unavailable")
    assert int(answers[0].headers["Retry-After"]) > 0
    assert [answer.status_code for answer in answers[1:]] == [202, 202]


@on_postgres
def test_readiness_says_that_the_database_is_read_only_and_is_well_with_the_next_connection(api: Api) -> None:
    make_open_connections_read_only(api)

    states = [api.client.get("/readyz").json["checks"]["database"] for _ in range(2)]

    assert states == ["read_only", "ok"]


def make_open_connections_read_only(api: Api) -> None:
    """Leave one open connection, and that read-only, as after a failover; new ones can write."""
    engine = api.rt.sessions.kw["bind"]
    engine.dispose()
    with engine.connect() as connection:
        connection.exec_driver_sql("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        connection.commit()


@on_sqlite  # only a file is locked as a whole
def test_a_sqlite_file_that_somebody_else_writes_to_is_well(api: Api, settings: Settings) -> None:
    path = settings.database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        response = api.client.get("/readyz")
        took_s = time.monotonic() - began
        other.execute("ROLLBACK")

    assert response.json["checks"]["database"] == "ok"
    assert took_s < PROMPTLY_S
