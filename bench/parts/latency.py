"""How long each leg of a message takes at a steady pace: what somebody who waits for a code feels."""

from bench.context import Context
from bench.results import Run
from bench.rounds import LIFE_STEPS
from bench.timed import Watch, Watched

TWILIO_MS = 50
LEGS = {
    "post": "POST to 202",
    "twilio": "POST to Twilio",
    "callback": "callback to 2xx",
    "wait": "callback to ?wait=",
    "consumer": "callback to consumer",
}
_SHARES = {"p50": 0.5, "p95": 0.95}


def run(context: Context) -> None:
    """Measure ours at each pace, alone and beside open waits."""
    for pace in context.plan.paces:
        for waits in context.plan.open_waits:
            _paced(context, pace, waits)


def _paced(context: Context, pace: int, waits: int) -> None:
    name = f"latency_{pace}" + (f"_waits_{waits}" if waits else "")
    part, report = f"latency, {pace} messages/s, {waits} open waits, Twilio at {TWILIO_MS} ms", context.report
    for round_, ours in enumerate(context.turns(part, context.ours)):
        ours.clear()
        context.stand.settle()
        context.stand.configure_fake(latency_ms=TWILIO_MS, steps=LIFE_STEPS)
        watch = Watch(ours.port, ours.send_headers)
        seen = watch.run(pace=pace, seconds=context.plan.pace_s, open_waits=waits, seed=round_)
        report.add(part, _timed(context, seen))
    columns = {f"{leg}_{share}": f"{leg} {share}" for leg in LEGS for share in _SHARES}
    report.print_table(part, columns | {"messages": "messages", "untold": "untold"})
    report.medians(part, "smsapp", {column: (f"{name}_{column}_ms", "ms") for column in columns})


def _timed(context: Context, seen: Watched) -> Run:
    times = context.stand.fake_times()
    called: dict[tuple[str, str], tuple[float, float]] = {
        (text, status): (sent_at, answered_at) for text, status, sent_at, answered_at in times["called"]
    }
    last = {each.id: called[each.text, "delivered"][0] for each in seen.messages}
    told = {each.id: seen.told_at.get((each.id, "message.delivered")) for each in seen.messages}
    legs: dict[str, list[float]] = {
        "post": [each.accepted_at - each.posted_at for each in seen.messages],
        "twilio": [times["received"][each.text] - each.posted_at for each in seen.messages],
        "callback": [answered_at - sent_at for sent_at, answered_at in called.values()],
        "wait": [each.outcome_at - last[each.id] for each in seen.messages],
        "consumer": [at - last[id_] for id_, at in told.items() if at is not None],
    }
    run = Run("smsapp", {"messages": len(seen.messages), "untold": sum(at is None for at in told.values())})
    for leg, spans in legs.items():
        ordered = sorted(spans)
        for share, fraction in _SHARES.items():
            at = ordered[min(len(ordered) - 1, int(fraction * len(ordered)))] if ordered else 0.0
            run.values[f"{leg}_{share}"] = at * 1000
    return run
