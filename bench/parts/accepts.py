"""Accepting sends while they go on to Twilio; the peer answers only after Twilio, so its rate is that of sends."""

from bench.context import Context

LATENCY_MS = 50
COLUMNS = {
    "per_s": "answers/s",
    "done_per_s": "at Twilio/s",
    "p50_ms": "p50 ms",
    "p95_ms": "p95",
    "p99_ms": "p99",
    "max_ms": "max",
    "failed": "not 2xx",
    "lost": "lost",
    "doubled": "doubled",
}


def run(context: Context) -> None:
    """Measure ours against the peer."""
    for connections in context.plan.connections:
        _accepts(context, connections)


def _accepts(context: Context, connections: int) -> None:
    part, report = f"accepts, Twilio at {LATENCY_MS} ms, {connections} connections", context.report
    numbers = range(context.plan.slow_messages)
    for system in context.turns(part, context.ours, *context.peers):
        report.add(part, context.rounds.accepts(system, numbers, connections, LATENCY_MS))
    report.print_table(part, COLUMNS)
    name = f"accepts_{LATENCY_MS}ms_{connections}"
    figures = {"per_s": (name, "per_s"), "p99_ms": (f"{name}_p99", "ms")}
    report.medians(part, "smsapp", figures | {"cpu_us.web": (f"cpu_web_per_accept_{connections}", "us")})
    context.compare(part, name, "per_s")
