"""Parts that are away, killed or flushed at a chosen moment: what was accepted is sent once and ends right.

The deterministic part of `make faults`, which does the same under load and at random.
"""

import resource
from concurrent.futures import ThreadPoolExecutor

from redis import Redis

from smsapp.callbacks.models import SpooledCallback
from tests.support.audit import audit
from tests.support.on_database import on_postgres, on_sqlite
from tests.support.stack import Stack

NUMBER = "+15552900001"
PATIENCE_S = 75.0


def wait_for_status(stack: Stack, sent: dict[str, str], status: str) -> None:
    """Return once every message has this status."""
    stack.wait_until(lambda: {row.status for row in stack.rows(sent).values()} == {status})


def answers(stack: Stack, sent: dict[str, str]) -> set[int]:
    """Return how the service answered the callbacks about these messages."""
    entries = [entry for entry in stack.ledger() if entry["body"] in sent.values()]
    return {callback["http_status"] for entry in entries for callback in entry["callbacks"]}


def sources(stack: Stack, message_id: str) -> list[str]:
    """Return where the evidence in a history came from."""
    return [event["source"] for event in stack.events(message_id)]


@on_postgres
def test_without_redis_a_text_is_accepted_and_sent_once_redis_is_back(stack: Stack) -> None:
    stack.stop("redis")
    try:
        sent = stack.send(3)  # a drain that is still awake may find it by itself
    finally:
        stack.start("redis")

    stack.wait_until_settled(sent, PATIENCE_S)

    assert audit(stack, sent).clean


@on_postgres
def test_a_worker_survives_a_redis_that_takes_no_writes(stack: Stack) -> None:
    """As in a failover: Redis answers all the time, and refuses everything that matters."""
    with Redis.from_url(stack.redis.url) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            sent = stack.send(3)
            stack.wait_until(lambda: "read_only" in stack.request("GET", "/readyz").data.decode())
            stack.wait_until(
                lambda: any("READONLY" in log or "ReadOnlyError" in log for log in stack.logs().values())
            )
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")

    stack.wait_until_settled(sent, PATIENCE_S)

    assert stack.process("worker-1").running
    assert audit(stack, sent).clean


@on_postgres
def test_processes_that_start_while_redis_takes_no_writes_wait_for_it(stack: Stack) -> None:
    names = ("worker-1", "beat", "web")
    with Redis.from_url(stack.redis.url) as redis:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            for name in names:
                stack.stop(name)
                stack.process(name).launch()
            stack.process("web").wait_until_ready()
            stack.wait_until(
                lambda: all(
                    "ReadOnlyError" in stack.process(name).log.read_text() for name in ("worker-1", "beat")
                )
            )
            sent = stack.send(3)
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")

    stack.wait_until_settled(sent, PATIENCE_S)

    assert all(stack.process(name).running for name in names)
    assert audit(stack, sent).clean


def test_without_redis_callbacks_wait_in_the_spool(stack: Stack) -> None:
    with stack.twilio_set_to(sent_ms=5000, final_ms=5100):
        sent = stack.send(3)
        wait_for_status(stack, sent, "queued")
    stack.stop("redis")
    try:
        stack.simulator.wait_until_idle()
        with stack.database() as session:
            kept = {entry.reason for entry in session.query(SpooledCallback)}
    finally:
        stack.start("redis")

    stack.wait_until_settled(sent, PATIENCE_S)
    stack.wait_until(lambda: all(sources(stack, message_id).count("callback") == 2 for message_id in sent))

    assert answers(stack, sent) == {204}
    assert kept == {"redis_unavailable"}
    assert audit(stack, sent).clean


@on_sqlite
def test_callbacks_that_a_flush_of_redis_destroyed_are_asked_for(stack: Stack) -> None:
    with stack.twilio_set_to(sent_ms=5000, final_ms=5100):
        sent = stack.send(3)
        wait_for_status(stack, sent, "queued")
    stack.pause("worker-1")
    try:
        stack.simulator.wait_until_idle()
        with Redis.from_url(stack.redis.url) as redis:
            redis.flushall()
    finally:
        stack.resume("worker-1")

    stack.wait_until_settled(sent, PATIENCE_S)

    assert {sources(stack, message_id)[-1] for message_id in sent} == {"poll"}
    assert audit(stack, sent).clean


def test_a_worker_killed_while_submitting_sends_nothing_twice(stack: Stack) -> None:
    with stack.twilio_set_to(latency_ms=2500):
        sent = stack.send(5)
        wait_for_status(stack, sent, "submitting")
    stack.wait_until(lambda: {entry["body"] for entry in stack.ledger()} >= set(sent.values()))
    stack.kill("worker-1")
    stack.start("worker-1")

    stack.wait_until_settled(sent, PATIENCE_S)

    assert {row.status for row in stack.rows(sent).values()} == {"delivered"}
    assert audit(stack, sent).clean


@on_postgres
def test_a_web_process_killed_under_load_loses_nothing(stack: Stack) -> None:
    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(stack.send, 60, rate=40, concurrency=4)
        stack.wait_until(lambda: len(stack.ledger()) > 0)
        stack.kill("web")
        stack.start("web")
        sent = load.result()

    stack.wait_until_settled(sent, PATIENCE_S)

    assert len(sent) == 60
    assert audit(stack, sent).clean


def test_a_rolling_restart_under_load_loses_and_doubles_nothing(stack: Stack) -> None:
    with ThreadPoolExecutor(1) as thread:
        load = thread.submit(stack.send, 100, rate=25, concurrency=4)
        stack.restart("worker-1")
        stack.restart("web")
        sent = load.result()

    stack.wait_until_settled(sent, PATIENCE_S)

    found = audit(stack, sent)
    assert (found.accepted, found.at_twilio, found.unconfirmed) == (100, 100, 0)
    assert found.clean


@on_postgres
def test_without_its_database_the_api_says_so_and_callbacks_are_kept(stack: Stack) -> None:
    with stack.twilio_set_to(sent_ms=5000, final_ms=5100):
        sent = stack.send(3)
        wait_for_status(stack, sent, "queued")
    stack.stop("postgres")
    try:
        refused = stack.request("POST", "/sms/send", {"to": NUMBER, "body": "while the database is away"})
        stack.simulator.wait_until_idle()
    finally:
        stack.start("postgres")

    stack.wait_until_settled(sent, PATIENCE_S)

    assert (refused.status, refused.json()["code"]) == (503, "database_unavailable")
    assert answers(stack, sent) == {204}
    assert audit(stack, sent).clean


@on_sqlite
def test_a_full_disk_gives_clear_503s_and_passes(stack: Stack) -> None:
    family = stack.process("web").family()
    full = (0, resource.RLIM_INFINITY)
    for process in family:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, full)
    try:
        refused = stack.request("POST", "/sms/send", {"to": NUMBER, "body": "while the disk is full"})
    finally:
        for process in family:
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY,) * 2)

    sent = stack.send(3)
    stack.wait_until_settled(sent, PATIENCE_S)

    assert (refused.status, refused.json()["code"]) == (503, "database_unavailable")
    assert audit(stack, sent).clean
