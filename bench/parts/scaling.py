"""How cost grows: with the number of worker processes, and with the number of stored messages."""

from bench.context import Context
from bench.parts.callbacks import COLUMNS
from bench.results import Run

WORKERS = (1, 2, 4)
_CONNECTIONS = 64
_SEEDED_AT_ONCE = 100_000


def run(context: Context) -> None:
    """Measure both."""
    workers(context)
    sizes(context)


def workers(context: Context) -> None:
    """Persist a backlog that waits in the stream, with 1, 2 and 4 worker processes."""
    part, report = "a backlog of callbacks, by worker processes", context.report
    systems = [
        context.start_ours(f"workers_{count}", name=f"workers x{count}", workers=count) for count in WORKERS
    ]
    numbers = range(context.plan.messages)
    for system in context.turns(part, *systems):
        report.add(part, context.rounds.backlog(system, numbers, _CONNECTIONS))
    report.print_table(part, {"drained_per_s": "drained/s", "lost": "lost", "wrong": "wrong"})
    one = report.values(part, systems[0].name, "drained_per_s")
    for count, system in zip(WORKERS, systems, strict=True):
        report.medians(part, system.name, {"drained_per_s": (f"drained_by_{count}", "per_s")})
        if count > 1:
            report.ratio(f"drain_{count}_workers", report.values(part, system.name, "drained_per_s"), one)
        system.stop()


def sizes(context: Context) -> None:
    """Persist callbacks while 10^4, 10^5 and 10^6 delivered messages with their histories are stored."""
    part, report = "callbacks, by stored messages", context.report
    systems = [context.start_ours(f"stored_{size}", name=f"{size} stored") for size in context.plan.sizes]
    for size, system in zip(context.plan.sizes, systems, strict=True):
        print(f"  store {size} messages", flush=True)
        for first in range(0, size, _SEEDED_AT_ONCE):
            system.seed(range(first, min(size, first + _SEEDED_AT_ONCE)), delivered=True)
    context.stand.settle()
    numbers = range(max(context.plan.sizes), max(context.plan.sizes) + context.plan.messages // 2)
    for system in context.turns(part, *systems):
        report.add(part, _with_cost(context.rounds.among_others(system, numbers, _CONNECTIONS)))
    report.print_table(part, {**COLUMNS, "cost_us": "worker+postgres µs"})
    small, large = systems[0].name, systems[-1].name
    for size, system in zip(context.plan.sizes, systems, strict=True):
        report.medians(part, system.name, {"cost_us": (f"cost_at_{size:.0e}".replace("+0", ""), "us")})
        system.stop()
    report.ratio("slope_1e4_1e6", *(report.values(part, name, "wall_us") for name in (large, small)))
    report.ratio("slope_1e4_1e6_cpu", *(report.values(part, name, "cost_us") for name in (large, small)))


def _with_cost(run: Run) -> Run:
    run.values["cost_us"] = run.values["cpu_us.worker"] + run.values["cpu_us.postgres"]
    run.values["wall_us"] = 1e6 / run.values["done_per_s"]
    return run
