"""What open `?wait=` requests cost everybody else: POST beside none, 500 and 1,000 of them, and queries meanwhile."""

import time
from functools import partial

from bench.context import Context
from bench.ours import Ours
from bench.parts.latency import TWILIO_MS
from bench.results import Run
from bench.rounds import LIFE_STEPS
from bench.timed import Watch

_PACE = 50
_QUIET_S = 12.0
"""By then the drains of the messages before have ended: they look for more for a few seconds."""

_COUNT_S = 10.0
"""Two rounds of the sweep, and less than the time that a request may wait: none of them is made again meanwhile."""

_POST = {"post_p50": "POST p50 ms", "post_p95": "p95", "messages": "messages"}
_QUERIES = {"queries_per_s": "queries/s while nothing happens"}


def run(context: Context) -> None:
    """Measure each number of open waits in turn, and compare with none."""
    part, report = f"waits, {_PACE} messages/s, Twilio at {TWILIO_MS} ms", context.report
    names = {waits: f"{waits} open waits" for waits in context.plan.crowds}
    for round_, ours in enumerate(context.turns(part, context.ours)):
        for waits, name in names.items():
            report.add(part, Run(name, _post_beside(context, ours, waits, seed=round_)))
    time.sleep(_QUIET_S)
    for waits, name in names.items():
        count = partial(context.stand.count_queries, _COUNT_S)
        queries = Watch(context.ours.port, context.ours.send_headers).hold(waits, count)
        report.add(part, Run(name, {"queries_per_s": queries / _COUNT_S}))
    report.print_table(part, _POST | _QUERIES)
    _compare(context, part, names)


def _post_beside(context: Context, ours: Ours, waits: int, *, seed: int) -> dict[str, float]:
    ours.clear()
    context.stand.settle()
    context.stand.configure_fake(latency_ms=TWILIO_MS, steps=LIFE_STEPS)
    watch = Watch(ours.port, ours.send_headers)
    seen = watch.run(pace=_PACE, seconds=context.plan.pace_s, open_waits=waits, seed=seed)
    spans = sorted((each.accepted_at - each.posted_at) * 1000 for each in seen.messages)
    return {
        "post_p50": spans[len(spans) // 2],
        "post_p95": spans[int(0.95 * len(spans))],
        "messages": len(spans),
    }


def _compare(context: Context, part: str, names: dict[int, str]) -> None:
    alone = names[min(names)]
    for waits, name in names.items():
        figures = {column: (f"waits_{waits}_{column}", "ms") for column in ("post_p50", "post_p95")}
        figures["queries_per_s"] = (f"waits_{waits}_queries", "per_s")
        context.report.medians(part, name, figures)
        for column in ("post_p50", "post_p95") if name != alone else ():
            values = partial(context.report.values, part, name=column)
            context.report.ratio(f"waits_{waits}_{column}", values(system=name), values(system=alone))
