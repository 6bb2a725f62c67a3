"""Pushing events to consumers: from a backlog to one, ten and a hundred, beside one that hangs, and beside lives."""

import json
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import count

from bench import machine
from bench.context import Context
from bench.ours import Ours
from bench.parts import lives
from bench.results import Run
from bench.telling import LIFE, Stats, Telling

_ONE = "/now/one"
_HANGING = "/never/one"
_PACE = 50.0
_LOOP = "a plain loop"
COLUMNS = {
    "per_s": "events/s",
    "repeated": "repeated",
    "disorder": "out of order",
    "connections": "connections",
}
PACED = {"p50_ms": "p50 ms", "p95_ms": "p95", "max_ms": "max", "repeated": "repeated"}


def run(context: Context) -> None:
    """Measure all of it with one worker process."""
    ours = context.start_ours("push")
    telling = Telling(context.stand, ours)
    numbers = range(max(context.plan.push_events, context.plan.push_backlog) // len(LIFE))
    try:
        _backlogs(context, ours, telling, numbers)
        _beside_a_hanging_one(context, ours, telling)
        _beside_lives(context, ours, telling)
    finally:
        telling.stop()
        ours.stop()


def _backlogs(context: Context, ours: Ours, telling: Telling, numbers: range) -> None:
    part, report = "push from a backlog", context.report
    few = numbers[: context.plan.push_events // len(LIFE)]
    hundred = [f"/now/{number}" for number in range(99)]
    cases: dict[str, Callable[[], Run]] = {
        "one": lambda: _backlog(context, ours, telling, [_ONE], few),
        _LOOP: lambda: _loop(context, telling, few),
        "ten": lambda: _backlog(
            context, ours, telling, [f"/now/{n}" for n in range(10)], few[: len(few) // 5]
        ),
        "a hundred": lambda: _backlog(
            context, ours, telling, [*hundred, _HANGING], few[: max(1, len(few) // 50)]
        ),
        "one, long": lambda: _backlog(
            context, ours, telling, [_ONE], numbers[: context.plan.push_backlog // len(LIFE)]
        ),
    }
    print(f"\n{part}: {context.plan.rounds} rounds of {', '.join(cases)}", flush=True)
    for number in range(context.plan.rounds):
        for name, measure in cases.items():
            if name == "one, long" and number:
                continue  # once: it takes as long as all others together
            result = measure()
            result.system = name
            report.add(part, result)
    report.print_table(part, COLUMNS)
    for name in cases:
        report.medians(part, name, {"per_s": (f"push_{name.replace(', ', '_').replace(' ', '_')}", "per_s")})
    report.ratio("push_one_vs_loop", *(report.values(part, name, "per_s") for name in ("one", _LOOP)))
    for fault in ("repeated", "disorder"):
        total = sum(sum(report.values(part, name, fault)) for name in cases)
        report.figure(f"push_{fault}", total, "count")


def _backlog(
    context: Context, ours: Ours, telling: Telling, paths: Sequence[str], numbers: Sequence[int]
) -> Run:
    """Write events while the worker is frozen, then let it push them; the rate counts all consumers' together."""
    ours.clear()
    context.stand.settle()
    ours.seed(range(numbers[0], numbers[-1] + 1), delivered=True)
    with telling.subscribed(paths):
        ours.pause_workers()
        try:
            written = telling.write(numbers)
        finally:
            roots = context.stand.roots() | ours.roots()
            before = machine.cpu_s(roots)
            ours.resume_workers()
        awaited = [path for path in paths if path != _HANGING]
        for path in awaited:
            stats = telling.wait_for(path, written)
        after = machine.cpu_s(roots)
    seen = {path: stats["paths"][path] for path in awaited}
    wall_s = max(each["last_at"] for each in seen.values()) - min(each["first_at"] for each in seen.values())
    result = Run("smsapp", {"per_s": written * len(awaited) / max(wall_s, 0.001), **_faults(stats, seen)})
    result.add_cpu({name: after[name] - before[name] for name in roots}, written * len(awaited))
    return result


def _faults(stats: Stats, seen: dict[str, Stats]) -> dict[str, float]:
    return {
        "repeated": sum(each["requests"] - each["events"] for each in seen.values()),
        "disorder": stats["disorder"],
        "connections": stats["connections"],
    }


def _loop(context: Context, telling: Telling, numbers: Sequence[int]) -> Run:
    """Post bodies of the same size one after the other over a kept connection, as a script would."""
    body = json.dumps(
        {"id": "evt_" + "0" * 32, "seq": 1, "type": "message.delivered", "timestamp": "2026-01-01T00:00:00Z"}
        | {"data": {"id": "msg_" + "0" * 32, "filler": "x" * 400}}
    )
    context.stand.settle()
    connection = HTTPConnection("127.0.0.1", telling.port, timeout=30)
    began = time.perf_counter()
    for number in range(len(numbers) * len(LIFE)):
        connection.request("POST", "/now/loop", body, {"webhook-id": f"evt_{number}"})
        connection.getresponse().read()
    took_s = time.perf_counter() - began
    connection.close()
    telling.ask("POST", "/_reset")
    return Run(_LOOP, {"per_s": len(numbers) * len(LIFE) / took_s})


def _beside_a_hanging_one(context: Context, ours: Ours, telling: Telling) -> None:
    """Write events at a steady pace for a healthy consumer, alone and beside one that never answers."""
    part, report = f"push at {_PACE:.0f} events/s", context.report
    cases = {"alone": [_ONE], "beside a hanging one": [_ONE, _HANGING]}
    print(f"\n{part}: {context.plan.rounds} rounds of {', '.join(cases)}", flush=True)
    ours.clear()
    batches = count()
    for _ in range(context.plan.rounds):
        for name, paths in cases.items():
            total = max(20, round(_PACE * context.plan.pace_s))
            numbers = range(total * (first := next(batches)), total * (first + 1))
            ours.seed(numbers, delivered=True)
            with telling.subscribed(paths):
                for number in _paced(numbers):
                    telling.write([number], LIFE[-1:])
                stats = telling.wait_for(_ONE, len(numbers))
            seen = stats["paths"][_ONE]
            delays = sorted(seen["delays_ms"])
            values = {
                "p50_ms": statistics.median(delays),
                "p95_ms": delays[int(0.95 * len(delays))],
                "max_ms": delays[-1],
                "repeated": seen["requests"] - seen["events"],
            }
            report.add(part, Run(name, values))
    report.print_table(part, PACED)
    report.medians(part, "alone", {"p50_ms": ("push_p50", "ms"), "p95_ms": ("push_p95", "ms")})
    report.ratio(
        "push_p95_beside_hanging",
        report.values(part, "beside a hanging one", "p95_ms"),
        report.values(part, "alone", "p95_ms"),
    )


def _paced(numbers: range) -> Iterator[int]:
    began = time.monotonic()
    for position, number in enumerate(numbers):
        time.sleep(max(0.0, began + position / _PACE - time.monotonic()))
        yield number


def _beside_lives(context: Context, ours: Ours, telling: Telling) -> None:
    """Whole lives with and without a subscriber to all their events."""
    part, report = f"lives and a subscriber, {lives.CONNECTIONS} connections", context.report
    numbers = range(context.plan.slow_messages)
    print(f"\n{part}: {context.plan.rounds} rounds without and with", flush=True)
    for _ in range(context.plan.rounds):
        for name, paths in (("without", []), ("with", [_ONE])):
            with _subscribed_if_any(telling, paths):
                result = context.rounds.lives(ours, numbers, lives.CONNECTIONS, latency_ms=50)
            result.system = name
            report.add(part, result)
    report.print_table(part, lives.COLUMNS)
    report.ratio(
        "lives_with_subscriber", *(report.values(part, name, "done_per_s") for name in ("with", "without"))
    )


@contextmanager
def _subscribed_if_any(telling: Telling, paths: Sequence[str]) -> Iterator[None]:
    if not paths:
        yield
        return
    with telling.subscribed(paths):
        yield
