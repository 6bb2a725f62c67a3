"""The default of a small installation: one machine, SQLite."""

from collections.abc import Callable

from bench.context import Context
from bench.parts import accepts, callbacks, lives
from bench.results import Run

_CONNECTIONS = 16
_LATENCY_MS = 50


def run(context: Context) -> None:
    """Measure sends, callbacks and whole lives; there is nothing to compare with."""
    ours, report = context.start_ours("sqlite", name="smsapp on SQLite", sqlite=True), context.report
    numbers = range(context.plan.slow_messages)
    parts: dict[str, Callable[[], Run]] = {
        "SQLite, callbacks": lambda: context.rounds.callbacks(ours, numbers, _CONNECTIONS),
        "SQLite, accepts": lambda: context.rounds.accepts(ours, numbers, _CONNECTIONS, _LATENCY_MS),
        "SQLite, lives": lambda: context.rounds.lives(ours, numbers, _CONNECTIONS, _LATENCY_MS),
    }
    print(f"\nSQLite: {context.plan.rounds} rounds", flush=True)
    for _ in range(context.plan.rounds):
        for part, measure in parts.items():
            report.add(part, measure())
    ours.stop()
    for part, columns in zip(parts, (callbacks.COLUMNS, accepts.COLUMNS, lives.COLUMNS), strict=True):
        report.print_table(part, {name: head for name, head in columns.items() if name != "wal_bytes"})
    report.medians("SQLite, callbacks", ours.name, {"per_s": ("sqlite_acks", "per_s")})
    report.medians("SQLite, callbacks", ours.name, {"done_per_s": ("sqlite_persisted", "per_s")})
    report.medians("SQLite, accepts", ours.name, {"per_s": ("sqlite_accepts", "per_s")})
    report.medians("SQLite, lives", ours.name, {"done_per_s": ("sqlite_lives", "per_s")})
