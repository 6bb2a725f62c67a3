"""Acknowledging and persisting callbacks, as fast as they are answered and at fixed rates, while the drain runs."""

from bench.context import Context
from bench.system import System
from bench.traffic import Address

COLUMNS = {
    "per_s": "acks/s",
    "done_per_s": "persisted/s",
    "p50_ms": "p50 ms",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "max_ms": "max",
    "wal_bytes": "WAL B",
    "failed": "not 2xx",
    "lost": "lost",
    "wrong": "wrong",
}


def run(context: Context) -> None:
    """Measure ours against the peer and the textbook's application."""
    for connections in context.plan.connections:
        closed_loop(context, connections)
    for rate in context.plan.rates:
        open_loop(context, rate)
    by_sid(context)
    storage(context)


def closed_loop(context: Context, connections: int) -> None:
    """Each connection sends the next callback when the last one was answered."""
    part, report = f"callbacks, closed loop, {connections} connections", context.report
    numbers, fewer = range(context.plan.messages), range(context.plan.messages // 4)
    for system in context.turns(part, context.ours, *context.peers, context.textbook):
        enough = fewer if system is context.textbook else numbers  # the slow one would take most of the time
        report.add(part, context.rounds.callbacks(system, enough, connections))
    report.print_table(part, COLUMNS)
    figures = {
        "per_s": (f"acks_{connections}", "per_s"),
        "done_per_s": (f"persisted_{connections}", "per_s"),
        "p50_ms": (f"acks_{connections}_p50", "ms"),
        "p99_ms": (f"acks_{connections}_p99", "ms"),
        "wal_bytes": (f"wal_per_callback_{connections}", "bytes"),
    }
    report.medians(part, "smsapp", figures)
    for name in ("web", "worker", "postgres", "redis"):
        report.medians(part, "smsapp", {f"cpu_us.{name}": (f"cpu_{name}_per_callback_{connections}", "us")})
    for name in ("failed", "lost", "wrong"):
        report.figure(f"callbacks_{connections}_{name}", sum(report.values(part, "smsapp", name)), "count")
    context.compare(part, f"acks_{connections}", "per_s")
    context.compare(part, f"acks_{connections}_p99", "p99_ms")
    context.compare(part, f"persisted_{connections}", "done_per_s")
    textbook = report.values(part, context.textbook.name, "per_s")
    report.ratio(f"acks_{connections}_vs_textbook", report.values(part, "smsapp", "per_s"), textbook)


def open_loop(context: Context, rate: int) -> None:
    """Callbacks come at a fixed rate, whether or not the ones before were answered."""
    part, report = f"callbacks at {rate}/s, 64 connections", context.report
    numbers = range(context.plan.messages // 4)
    for system in context.turns(part, context.ours, *context.peers):
        report.add(part, context.rounds.callbacks(system, numbers, 64, rate=rate))
    report.print_table(part, COLUMNS)
    report.medians(part, "smsapp", {"p50_ms": (f"at_{rate}_p50", "ms"), "p99_ms": (f"at_{rate}_p99", "ms")})
    context.compare(part, f"at_{rate}_p99", "p99_ms")


def by_sid(context: Context) -> None:
    """Callbacks to the bare path, which name their message by its SID alone."""
    part = "callbacks without an id in the path, 64 connections"
    for _ in context.turns(part, context.ours):
        numbers = range(context.plan.messages)
        context.report.add(part, context.rounds.callbacks(context.ours, numbers, 64, address=Address.SID))
    context.report.print_table(part, COLUMNS)
    context.report.medians(part, "smsapp", {"done_per_s": ("persisted_64_by_sid", "per_s")})


def storage(context: Context) -> None:
    """The bytes of a message and its history, indexes included."""
    systems: list[System] = [context.ours, *context.peers[:1]]
    for system in systems:
        for name, value in system.stored_bytes().items():
            context.report.figure(name if system is context.ours else f"{name}_peer", value, "bytes")
