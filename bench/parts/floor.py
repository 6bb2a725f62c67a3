"""The floor of the machine: the web server without an application, Redis and PostgreSQL without a service."""

import socket
import time
from collections.abc import Callable

import psycopg
from redis import Redis

from bench import machine
from bench.children import BenchError, Child, wait_for_port
from bench.context import Context
from bench.parts.callbacks import COLUMNS
from bench.results import Run
from bench.seeding import EVENT_COLUMNS, blocks, copy_blocks, event_rows
from bench.system import Faults
from bench.traffic import Address
from dev.processes import procfile_commands
from dev.var_folder import ROOT

BATCH = 500
_PIPELINE = 100
_REAPED_S = 0.2  # before that, the CPU time of a backend that has just ended may be counted nowhere
_KEY = b"bench:floor"
_ENTRY = {b"r": b"0" * 32, b"k": b"status", b"t": b"msg_" + b"0" * 32, b"a": b"0" * 32, b"b": b"x" * 237}


class Static:
    """An application that answers 204 to everything, under our own server's configuration."""

    address = Address.ID

    def __init__(self, context: Context, name: str, application: str) -> None:
        self.name = name
        self.port = context.stand.port()
        self.send_headers: dict[str, str] = {}
        command = procfile_commands(ROOT / "Procfile")["web"]
        if "wsgi:app" not in command:
            raise BenchError("the Procfile's `web` does not serve wsgi:app")
        shell = ["/bin/sh", "-c", "exec " + command.replace("wsgi:app", application)]
        environment = context.ours.environment | {"PORT": str(self.port)}
        self._child = Child(self.name, shell, environment, log=context.stand.log(name.replace(" ", "-")))
        wait_for_port(self.port, self._child)

    @property
    def base_url(self) -> str:
        """The URL for which callbacks are signed."""
        return f"http://127.0.0.1:{self.port}"

    def roots(self) -> dict[str, list[int]]:
        """Return its processes by name."""
        return {"web": [self._child.pid]}

    def stop(self) -> None:
        """Stop the processes."""
        self._child.stop()

    def clear(self) -> None:
        """Do nothing: nothing is stored."""

    def seed(self, numbers: range) -> None:
        """Do nothing: every callback is welcome."""

    def unfinished(self) -> int:
        """Return 0: an answer is all that there is."""
        return 0

    def unsubmitted(self) -> int:
        """Return 0: nothing is sent."""
        return 0

    def faults(self, messages: int) -> Faults:  # noqa: ARG002 - as the protocol says
        """Return none: nothing is stored."""
        return Faults(0, 0)

    def stored_bytes(self) -> dict[str, float]:
        """Return nothing."""
        return {}


def run(context: Context) -> None:
    """Measure the server, then Redis, then PostgreSQL."""
    static = Static(context, "static 204", "bench.static204:app")
    fast = Static(context, "static 204, fast path", "bench.static204:fast")
    try:
        for connections in context.plan.connections:
            _server(context, static, fast, connections)
        _server_alone(context, static)
    finally:
        static.stop()
        fast.stop()
    _raw(context, "XADD, one at a time", "xadd", 20_000, lambda count: _xadd(context, count, 1))
    _raw(
        context,
        f"XADD, {_PIPELINE} in a pipeline",
        "xadd_pipelined",
        100_000,
        lambda count: _xadd(context, count, _PIPELINE),
    )
    _raw(
        context,
        f"COPY of events, {BATCH} in a transaction",
        "copy_events",
        40_000,
        lambda count: _copy(context, count),
    )


def _server(context: Context, static: Static, fast: Static, connections: int) -> None:
    part, report = f"static 204 and callbacks, {connections} connections", context.report
    numbers = range(context.plan.messages)
    for system in context.turns(part, context.ours, static, fast):
        report.add(part, context.rounds.callbacks(system, numbers, connections))
    report.print_table(part, COLUMNS)
    suffix = "" if connections == 64 else f"_{connections}"
    for floor, name in ((static, "static204"), (fast, "fast_static204")):
        report.medians(part, floor.name, {"per_s": (f"{name}_{connections}", "per_s")})
        ours, theirs = (report.values(part, system, "per_s") for system in ("smsapp", floor.name))
        report.ratio(f"acks_vs_{name}{suffix}", ours, theirs)


def _server_alone(context: Context, static: Static) -> None:
    """With the workers frozen during the load: what the web processes cost, without what the drain takes from them."""
    part, report = "static 204 and callbacks, workers frozen, 64 connections", context.report
    numbers = range(context.plan.messages)
    for system in context.turns(part, context.ours, static):
        if system is static:
            report.add(part, context.rounds.callbacks(static, numbers, 64))
        else:
            report.add(part, context.rounds.backlog(context.ours, numbers, 64))
    report.print_table(part, COLUMNS)
    ours, floor = (report.values(part, name, "per_s") for name in ("smsapp", static.name))
    report.ratio("acks_vs_static204_no_drain", ours, floor)


def _raw(context: Context, part: str, name: str, count: int, work: Callable[[int], float]) -> None:
    """Do something this many times, in rounds; the work returns the seconds that it took."""
    roots = context.stand.roots()
    for _ in range(context.plan.rounds):
        before = machine.cpu_s(roots)
        seconds = work(count)
        time.sleep(_REAPED_S)
        after = machine.cpu_s(roots)
        run = Run("floor", {"per_s": count / seconds})
        run.add_cpu({root: after[root] - before[root] for root in roots}, count)
        context.report.add(part, run)
    context.report.print_table(part, {"per_s": "/s"})
    context.report.medians(part, "floor", {"per_s": (name, "per_s")})


def _xadd(context: Context, count: int, at_once: int) -> float:
    fields = [word for pair in _ENTRY.items() for word in pair]
    words = [b"XADD", _KEY, b"*", *fields]
    command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words)
    with socket.create_connection(("127.0.0.1", context.stand.redis.port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        began = time.perf_counter()
        for _ in range(count // at_once):
            connection.sendall(command * at_once)
            lines = 0
            while lines < 2 * at_once:  # a bulk string: its length, then the entry's id
                lines += connection.recv(65536).count(b"\r\n")
        seconds = time.perf_counter() - began
    with Redis(port=context.stand.redis.port) as client:
        client.delete(_KEY)
    return seconds


def _copy(context: Context, count: int) -> float:
    texts = list(blocks(event_rows(range(count // 5), delivered=True), BATCH))
    with psycopg.connect(context.ours.url) as connection:
        connection.execute("DROP TABLE IF EXISTS bench_events")
        connection.execute("CREATE TABLE bench_events (LIKE message_events INCLUDING ALL)")
        connection.commit()
        began = time.perf_counter()
        for text in texts:
            copy_blocks(connection, "bench_events", EVENT_COLUMNS, [text])
            connection.commit()
        seconds = time.perf_counter() - began
        connection.execute("DROP TABLE bench_events")
    return seconds
