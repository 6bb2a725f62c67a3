"""Whole lives: from the request to send until the second callback is persisted, at several latencies of Twilio's."""

from bench.context import Context

CONNECTIONS = 64
COLUMNS = {
    "done_per_s": "lives/s",
    "per_s": "answers/s",
    "p50_ms": "p50 ms",
    "p99_ms": "p99",
    "wal_bytes": "WAL B",
    "failed": "not 2xx",
    "lost": "lost",
    "wrong": "wrong",
    "doubled": "doubled",
}


def run(context: Context) -> None:
    """Measure ours against the peer."""
    for latency_ms in context.plan.latencies_ms:
        _lives(context, latency_ms)


def _lives(context: Context, latency_ms: int) -> None:
    part, report = f"lives, Twilio at {latency_ms} ms, {CONNECTIONS} connections", context.report
    numbers = range(context.plan.slow_messages)
    for system in context.turns(part, context.ours, context.ours_twice, *context.peers):
        report.add(part, context.rounds.lives(system, numbers, CONNECTIONS, latency_ms))
    report.print_table(part, COLUMNS)
    report.medians(part, "smsapp", {"done_per_s": (f"lives_{latency_ms}ms", "per_s")})
    report.medians(part, "smsapp x2", {"done_per_s": (f"lives_{latency_ms}ms_two_workers", "per_s")})
    for name in ("lost", "wrong", "doubled"):
        total = sum(sum(report.values(part, system, name)) for system in ("smsapp", "smsapp x2"))
        report.figure(f"lives_{latency_ms}ms_{name}", total, "count")
    context.compare(part, f"lives_{latency_ms}ms", "done_per_s")
