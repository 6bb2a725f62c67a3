"""Memory of each process: at the start, warmed up, and after very many callbacks."""

import time

from bench import machine
from bench.context import Context
from bench.ours import Ours
from bench.results import Run

_CHUNK = 25_000
_CONNECTIONS = 64
_WARM_AFTER = 10
"""The part of the callbacks after which a process counts as warm: by then the largest batches have occurred once."""

_LOOK_EVERY_S = 2.0
_AT_REST = 0.005
COLUMNS = {
    "start": "PSS MB at start",
    "warm": "warm",
    "end": "at the end",
    "end_rss": "RSS",
    "growth": "end / warm",
}


def run(context: Context) -> None:
    """Call back again and again on new messages, and compare."""
    ours = context.start_ours("memory", warm=False)
    start = _memory_at_rest(context, ours)
    chunk = min(_CHUNK, context.plan.memory_callbacks // 4)
    done = 0
    while done < context.plan.memory_callbacks // _WARM_AFTER:
        _call_back(context, ours, chunk)
        done += 2 * chunk
    warm = _memory(context, ours)
    print(f"\nmemory: {context.plan.memory_callbacks} callbacks", flush=True)
    while done < context.plan.memory_callbacks:
        _call_back(context, ours, chunk)
        done += 2 * chunk
    end = _memory(context, ours)
    ours.stop()

    part = f"memory after {done} callbacks"
    for process, sizes in end.items():
        mb = {"end": sizes["pss"] / 1024, "end_rss": sizes["rss"] / 1024}
        if process in start and process in warm:
            mb |= {"start": start[process]["pss"] / 1024, "warm": warm[process]["pss"] / 1024}
            mb["growth"] = mb["end"] / mb["warm"]
        context.report.add(part, Run(process, mb))
        context.report.medians(part, process, {"end": (f"memory_{process.replace('/', '_')}", "MB")})
    context.report.print_table(part, COLUMNS)
    for name, processes in {"memory_growth": "worker", "memory_growth_web": "web"}.items():
        of_kind = [process for process in end if process.startswith(processes)]
        context.report.ratio(
            name,
            [float(end[process]["pss"]) for process in of_kind if process in warm],
            [float(warm[process]["pss"]) for process in of_kind if process in warm],
        )


def _call_back(context: Context, ours: Ours, messages: int) -> None:
    run = context.rounds.callbacks(ours, range(messages), _CONNECTIONS)
    context.report.add("memory, callbacks", run)


def _memory_at_rest(context: Context, ours: Ours) -> dict[str, dict[str, int]]:
    """Return the memory once all processes have started and it no longer grows."""
    before = -1
    while True:
        sizes = _memory(context, ours)
        total = sum(size["pss"] for size in sizes.values())
        if before >= 0 and abs(total - before) < _AT_REST * total:
            return sizes
        before = total
        time.sleep(_LOOK_EVERY_S)


def _memory(context: Context, ours: Ours) -> dict[str, dict[str, int]]:
    roots = ours.roots() | {"redis": context.stand.roots()["redis"]}
    return machine.memory_kb(roots)
