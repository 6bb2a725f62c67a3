"""What clients that mean harm cost everybody else: `/livez` and POST beside each kind of them, and beside all."""

import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from bench import machine
from bench.attackers import ATTACKS
from bench.context import Context
from bench.ours import Ours
from bench.parts.latency import TWILIO_MS
from bench.results import Run
from bench.rounds import LIFE_STEPS
from bench.timed import Watch

_PACE = 5
_ALL = "all of them"
_COLUMNS = {
    "live_p50": "/livez p50 ms",
    "live_max": "max",
    "post_p50": "POST p50 ms",
    "post_max": "max",
    "web_mb": "web RSS MB",
}


def run(context: Context) -> None:
    """Measure alone, beside each kind, and beside all kinds at once."""
    kinds: dict[str, Sequence[str]] = {"alone": ()}
    kinds |= {name: (name,) for name in ATTACKS} | {_ALL: tuple(ATTACKS)}
    part, report = f"abuse, {_PACE} messages/s", context.report
    for ours in context.turns(part, context.ours):
        for name, attacks in kinds.items():
            report.add(part, Run(name, _beside(context, ours, attacks)))
    report.print_table(part, _COLUMNS)
    report.medians(part, _ALL, {"live_max": ("abuse_livez_max", "ms"), "post_max": ("abuse_post_max", "ms")})


def _beside(context: Context, ours: Ours, attacks: Sequence[str]) -> dict[str, float]:
    ours.clear()
    context.stand.configure_fake(latency_ms=TWILIO_MS, steps=LIFE_STEPS)
    seconds = context.plan.abuse_s
    spans: list[float] = []
    with _attacking(ours.port, attacks, seconds + 5), _looking(ours.port, spans):
        seen = Watch(ours.port, ours.send_headers).run(pace=_PACE, seconds=seconds, open_waits=0, seed=0)
    posts = sorted((each.accepted_at - each.posted_at) * 1000 for each in seen.messages)
    spans.sort()
    memory = machine.memory_kb({"web": ours.roots()["web"]})
    return {
        "live_p50": spans[len(spans) // 2],
        "live_max": spans[-1],
        "post_p50": posts[len(posts) // 2],
        "post_max": posts[-1],
        "web_mb": sum(sizes["rss"] for sizes in memory.values()) / 1024,
    }


@contextmanager
def _attacking(port: int, attacks: Sequence[str], seconds: float) -> Iterator[None]:
    command = [sys.executable, "-m", "bench.attackers"]
    children = [subprocess.Popen([*command, kind, str(port), str(seconds)]) for kind in attacks]
    try:
        time.sleep(1.0 if attacks else 0.0)
        yield
    finally:
        for child in children:
            child.terminate()
            child.wait()


@contextmanager
def _looking(port: int, spans: list[float]) -> Iterator[None]:
    """Ask `/livez` every 50 ms, each time over a new connection, and keep the milliseconds that it took."""
    over = threading.Event()

    def look() -> None:
        while not over.wait(0.05):
            began = time.perf_counter()
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/livez", timeout=60) as answer:
                answer.read()
            spans.append((time.perf_counter() - began) * 1000)

    looker = threading.Thread(target=look)
    looker.start()
    try:
        yield
    finally:
        over.set()
        looker.join()
