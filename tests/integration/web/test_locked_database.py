"""While another program holds the database's locks, requests that need no lock are answered promptly."""

import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from urllib.parse import urlencode

import psycopg
import pytest
import urllib3
from sqlalchemy import select

from simulator.signature import sign
from smsapp.callbacks.models import SpooledCallback
from smsapp.config import Settings
from smsapp.keys import queries as api_keys
from tests.support.environment import AUTH_TOKEN
from tests.support.stack import DATABASES, Database, Stack
from tests.support.web import TO, Api, problem, serving

FORM = {"MessageSid": "SM" + "1" * 32, "MessageStatus": "delivered"}
PROMPTLY_S = 2.5
"""Milliseconds on an idle machine. Whatever waits for a lock here waits until WATCHED_S is over."""

WATCHED_S = 3.0
TWILIO_GIVES_UP_S = 3.0
LOCKS = {"sqlite": ("IMMEDIATE", "EXCLUSIVE"), "postgres": ("ACCESS EXCLUSIVE",)}
EACH_LOCK = [(database, lock) for database, locks in LOCKS.items() for lock in locks]

on_sqlite = pytest.mark.parametrize("stack", ["sqlite"], indirect=True)


@pytest.fixture(scope="module", params=DATABASES)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """One web process with one event loop, and nothing else."""
    database: Database = request.param
    with Stack(tmp_path_factory.mktemp(f"locked_{database}"), database=database, only={"web"}) as stack:
        yield stack


@contextmanager
def locked(stack: Stack, lock: str) -> Iterator[None]:
    """Hold a lock that writers of messages wait for, from this process."""
    url = stack.environment["DATABASE_URL"]
    if stack.kind == "sqlite":
        with locked_file(url, f"BEGIN {lock}"):
            yield
        return
    with psycopg.connect(url.replace("+psycopg", "")) as other:
        other.execute(f"LOCK TABLE messages IN {lock} MODE")
        yield
        other.rollback()


@contextmanager
def locked_file(url: str, *statements: str) -> Iterator[None]:
    """Hold a lock on SQLite's file."""
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as other:
        for statement in statements:
            other.execute(statement)
        yield
        other.execute("ROLLBACK")


def call_back(stack: Stack) -> int:
    """Post a signed callback on a connection of its own; return the answer's status.

    On a busy machine Redis may take longer than the half second that it has. Twilio then asks again, and so do we.
    """
    status = call_back_once(stack)
    return call_back_once(stack) if status == 503 else status


def call_back_once(stack: Stack) -> int:
    url = stack.url() + "/twilio/status"
    headers = {
        "X-Twilio-Signature": sign(AUTH_TOKEN, url, FORM.items()),
        "Content-Type": "application/x-www-form-urlencoded",
    }
    return urllib3.request(
        "POST", url, body=urlencode(FORM), headers=headers, timeout=30, retries=False
    ).status


def live(stack: Stack) -> int:
    return urllib3.request("GET", stack.url() + "/livez", timeout=30, retries=False).status


def slowest_s(stack: Stack, expected: dict[Callable[[Stack], int], int]) -> float:
    """Make these requests in turn for a while; return how long the slowest took."""
    slowest_s = 0.0
    until = time.monotonic() + WATCHED_S
    while time.monotonic() < until:
        for ask, status in expected.items():
            began = time.monotonic()
            assert ask(stack) == status
            slowest_s = max(slowest_s, time.monotonic() - began)
    return slowest_s


@pytest.mark.parametrize("sends", [1, 6])
@pytest.mark.parametrize(("stack", "lock"), EACH_LOCK, indirect=["stack"])
def test_callbacks_are_answered_while_sends_wait_for_a_lock(stack: Stack, lock: str, sends: int) -> None:
    with ThreadPoolExecutor(sends) as pool:
        with locked(stack, lock):
            answers = [pool.submit(stack.post, TO, f"{number} of {sends}") for number in range(sends)]
            took_s = slowest_s(stack, {call_back: 204, live: 200})
            waited = not any(answer.done() for answer in answers)
        accepted = {answer.result()["id"] for answer in answers}

    assert waited
    assert took_s < PROMPTLY_S
    assert accepted <= set(stack.rows())


@pytest.mark.parametrize("lock", LOCKS["sqlite"])
@on_sqlite
def test_reading_waits_for_nobody(stack: Stack, lock: str) -> None:
    message = stack.post(TO, "read me")
    with stack.sessions.begin() as session:  # a key whose use is not noted yet
        key = api_keys.issue(session, "reader", mode="live", now=datetime.now(UTC))

    def read(stack: Stack) -> int:
        headers = {"Authorization": f"Bearer {key}"}
        return stack.request("GET", f"/sms/messages/{message['id']}", headers=headers).status

    def ready(stack: Stack) -> int:
        return stack.request("GET", "/readyz").status

    with ThreadPoolExecutor(12) as pool:
        with locked(stack, lock):
            templates = [pool.submit(add_template, stack, f"{lock.lower()}-{number}") for number in range(12)]
            took_s = slowest_s(stack, {read: 200, ready: 200, live: 200})
        statuses = {answer.result() for answer in templates}

    assert took_s < PROMPTLY_S
    assert statuses == {201}


def add_template(stack: Stack, name: str) -> int:
    return stack.request("POST", "/sms/templates", {"name": name, "body": "x"}).status


@on_sqlite
def test_without_redis_a_callback_is_refused_before_twilio_gives_up(stack: Stack) -> None:
    stack.stop("redis")
    try:
        with locked(stack, "IMMEDIATE"):
            began = time.monotonic()
            refused = call_back_once(stack)
            refused_s = time.monotonic() - began
        kept = call_back(stack)
    finally:
        stack.start("redis")

    assert (refused, kept) == (503, 204)
    assert refused_s < TWILIO_GIVES_UP_S
    with stack.database() as session:
        assert len(session.scalars(select(SpooledCallback)).all()) == 1


@on_sqlite
def test_a_process_starts_beside_a_program_that_has_the_file_for_itself(stack: Stack) -> None:
    stack.stop("web")
    stack.sessions.kw["bind"].dispose()
    exclusive = ("PRAGMA locking_mode = EXCLUSIVE", "BEGIN EXCLUSIVE", "CREATE TABLE theirs (x)")

    with ThreadPoolExecutor(1) as pool:
        with locked_file(stack.environment["DATABASE_URL"], *exclusive):
            stack.start("web")
            answer = pool.submit(stack.request, "GET", "/sms/messages")
            took_s = slowest_s(stack, {call_back: 204, live: 200})
            waited = not answer.done()

        assert waited
        assert answer.result().status == 200
    assert took_s < PROMPTLY_S


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_send_that_never_gets_the_lock_is_refused_whole(
    settings: Settings, api_key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(settings, api_key) as api:
        api.send()
        monkeypatch.setattr("smsapp.db.engine.PATIENCE_S", 0.3)
        with locked_file(settings.database_url, "BEGIN IMMEDIATE"):
            refused = api.post({"to": TO, "body": "x"}, headers={"Idempotency-Key": "k"})
        repeated = api.post({"to": TO, "body": "x"}, headers={"Idempotency-Key": "k"})

        problem(refused, 503, "database_unavailable")
        assert int(refused.headers["Retry-After"]) > 0
        assert repeated.status_code == 202
        assert "Idempotent-Replayed" not in repeated.headers
        assert messages(api) == 2


def messages(api: Api) -> int:
    return len(api.get("/sms/messages").json["data"])
