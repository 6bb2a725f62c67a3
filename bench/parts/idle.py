"""What the service costs while nothing happens: CPU and memory of each process, a while after its last message."""

import time

from bench import machine
from bench.context import Context
from bench.results import Run

SETTLE_S = 8.0
"""Longer than drains stay after their last message."""

COLUMNS = {"cpu_percent": "% of a core", "pss_mb": "PSS MB", "rss_mb": "RSS MB"}
_TOGETHER = "all together"


def run(context: Context) -> None:
    """Measure ours after it has sent some messages."""
    ours, report, part = context.start_ours("idle"), context.report, "idle"
    span = context.plan.idle_s
    for _ in range(context.plan.rounds):
        time.sleep(SETTLE_S)
        roots = ours.roots() | {"redis": context.stand.roots()["redis"]}
        before = machine.cpu_s(roots)
        time.sleep(span)
        after = machine.cpu_s(roots)
        used = {name: (after[name] - before[name]) / span * 100 for name in roots}
        memory: dict[str, dict[str, int]] = {}
        for process, sizes in machine.memory_kb(ours.roots()).items():
            of_kind = memory.setdefault(process.split("/")[0], {"pss": 0, "rss": 0})
            for kind in of_kind:
                of_kind[kind] += sizes[kind]
        used[_TOGETHER] = sum(used[name] for name in ours.roots())
        memory[_TOGETHER] = {kind: sum(sizes[kind] for sizes in memory.values()) for kind in ("pss", "rss")}
        for name, percent in used.items():
            sizes = memory.get(name, {})
            report.add(
                part,
                Run(
                    name,
                    {"cpu_percent": percent} | {f"{kind}_mb": size / 1024 for kind, size in sizes.items()},
                ),
            )
    ours.stop()
    report.print_table(part, COLUMNS)
    report.medians(part, _TOGETHER, {"cpu_percent": ("idle_cpu", "percent"), "pss_mb": ("idle_pss", "MB")})
