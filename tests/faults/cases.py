"""The faults, each a function that breaks something while a load runs, and mends it before it returns."""

import random
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import psutil
from redis import Redis

from tests.faults import refusals
from tests.faults.load import Load
from tests.support.stack import DATABASES, Database, Stack

Fault = Callable[[Stack, Load], str | None]
"""Breaks something and mends it; may return what the service said meanwhile."""

MESSAGES = 2_000
RATE = 120.0
"""Messages per second; slow enough that every fault meets a running load."""


@dataclass(frozen=True, slots=True)
class Case:
    """One fault and what it is done to.

    `messages` arrive at `rate` a second. `fields` are of each request; `small_disk` puts PostgreSQL on a file system of
    its own that can be filled; `may_double` says that callers allowed to send again, so that as many may be doubled
    as Twilio accepted without saying so.
    """

    name: str
    fault: Fault
    databases: tuple[Database, ...] = DATABASES
    workers: int = 2
    simulator: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, object] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    may_double: bool = False
    small_disk: bool = False
    messages: int = MESSAGES
    rate: float = RATE


def kill_workers_at_random(stack: Stack, load: Load) -> None:
    """Kill one of three workers every second and start it again at once, as long as the load runs."""
    rng = random.Random(7)
    load.wait_for_share(0.05)
    while not load.done:
        name = rng.choice(stack.workers)
        stack.kill(name)
        stack.process(name).launch()
        time.sleep(1.0)
    for name in stack.workers:
        stack.process(name).wait_until_ready()


def kill_every_worker(stack: Stack, load: Load) -> None:
    """Kill all workers at once, twice."""
    for share in (0.3, 0.7):
        load.wait_for_share(share)
        for name in stack.workers:
            stack.kill(name)
        for name in stack.workers:
            stack.process(name).launch()
    for name in stack.workers:
        stack.process(name).wait_until_ready()


def kill_web(stack: Stack, load: Load) -> None:
    """Kill gunicorn with its workers, three times."""
    for share in (0.2, 0.5, 0.8):
        load.wait_for_share(share)
        stack.kill("web")
        stack.start("web")


def kill_redis(stack: Stack, load: Load) -> None:
    """Kill Redis twice; it comes back after two seconds with what it had written to its file."""
    for share in (0.3, 0.7):
        load.wait_for_share(share)
        stack.kill("redis")
        time.sleep(2.0)
        stack.start("redis")


def pause_redis(stack: Stack, load: Load) -> None:
    """Freeze Redis for ten seconds: connections stay open and nothing answers."""
    load.wait_for_share(0.3)
    stack.pause("redis")
    time.sleep(10.0)
    stack.resume("redis")


def flush_redis(stack: Stack, load: Load) -> None:
    """Destroy everything that Redis holds, three times."""
    with Redis.from_url(stack.redis.url) as redis:
        for share in (0.25, 0.5, 0.75):
            load.wait_for_share(share)
            redis.flushall()


def stop_postgres(stack: Stack, load: Load) -> None:
    """Stop PostgreSQL for fifteen seconds; its connections are cut."""
    load.wait_for_share(0.3)
    stack.stop("postgres")
    time.sleep(15.0)
    stack.start("postgres")


def kill_postgres(stack: Stack, load: Load) -> None:
    """Kill the postmaster twice; the server recovers from its log."""
    for share in (0.3, 0.7):
        load.wait_for_share(share)
        stack.kill("postgres")
        stack.start("postgres")


def leave_beat_dead(stack: Stack, load: Load) -> None:
    """Run the whole load without beat, then start it."""
    load.wait()
    stack.start("beat")


def only_twilio(_stack: Stack, load: Load) -> None:
    """Break nothing here: Twilio does."""
    load.wait()


def fill_the_disk(stack: Stack, load: Load) -> None:
    """Let no file of the service grow for five seconds, then none be written at all for five more."""
    load.wait_for_share(0.3)
    largest = max(path.stat().st_size for path in stack.folder.glob("smsapp.db*"))
    for limit in (largest, 0):
        with file_size_limit(stack, limit):
            time.sleep(5.0)


@contextmanager
def file_size_limit(stack: Stack, limit: int) -> Iterator[None]:
    """Keep the processes that write the database from writing beyond this many bytes of any file."""
    names = ("web", *stack.workers)
    running = [process for name in names for process in stack.process(name).family()]
    _limit_all(running, limit)
    yield
    running = [process for name in names for process in stack.process(name).family()]
    _limit_all(running, resource.RLIM_INFINITY)


def _limit_all(processes: list[psutil.Process], limit: int) -> None:
    for process in processes:
        with suppress(ProcessLookupError):
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))


def refusing(name: str, fault: Fault, **changes: Any) -> Case:
    """Return a case in which something says no while 200 texts and their callbacks are under way."""
    return Case(
        name, fault, simulator={"sent_ms": 1_000, "final_ms": 3_000}, messages=200, rate=15.0, **changes
    )


LATE = {"latency_ms": 100, "sent_ms": 8_000, "final_ms": 9_000}
"""Callbacks that come only when every lease and every first retry is over: none of them can make up for a mistake."""

CASES = (
    Case("workers-killed-every-second", kill_workers_at_random, workers=3, simulator=LATE),
    Case("all-workers-killed", kill_every_worker, simulator=LATE),
    Case("web-killed", kill_web),
    Case("redis-killed", kill_redis),
    Case("redis-paused-10s", pause_redis),
    Case("redis-flushed", flush_redis),
    Case("postgres-stopped-15s", stop_postgres, databases=("postgres",)),
    Case("postgres-killed", kill_postgres, databases=("postgres",)),
    Case("beat-dead", leave_beat_dead, without=("beat",), simulator={"p429": 0.05, "p_reset": 0.02}),
    Case(
        "twilio-30-percent-faults",
        only_twilio,
        simulator=LATE | {"p429": 0.08, "p503": 0.07, "p_timeout": 0.07, "p_reset": 0.08},
    ),
    Case(
        "twilio-hides",
        only_twilio,
        simulator={"p_timeout": 0.05, "p_reset": 0.1, "loss": 0.3, "hide_list": True},
    ),
    Case(
        "resend-what-is-unconfirmed",
        only_twilio,
        simulator={
            "p503": 0.05,
            "p_reset": 0.1,
            "p_not_accepted_reset": 0.05,
            "loss": 0.3,
            "hide_list": True,
        },
        fields={"on_unconfirmed": "resend"},
        may_double=True,
    ),
    Case(
        "callbacks-lost-doubled-reordered",
        only_twilio,
        simulator={"loss": 0.2, "duplicate": 0.2, "reorder": 1.0, "early": 0.1, "p_undelivered": 0.1},
    ),
    Case("disk-full", fill_the_disk, databases=("sqlite",)),
    refusing("redis-read-only", refusals.demote_redis),
    refusing("redis-full", refusals.fill_redis),
    refusing("redis-clients-paused", refusals.pause_clients_of_redis),
    refusing("postgres-read-only", refusals.make_postgres_read_only, databases=("postgres",)),
    refusing("postgres-failed-over", refusals.fail_postgres_over, databases=("postgres",)),
    refusing("postgres-connections-ended", refusals.end_connections_again_and_again, databases=("postgres",)),
    refusing(
        "postgres-disk-full", refusals.fill_the_disk_of_postgres, databases=("postgres",), small_disk=True
    ),
)
