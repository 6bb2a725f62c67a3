"""What to measure and how much of it: the command line's options, and the sizes that follow from them."""

import argparse
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dev.var_folder import ROOT

PARTS = (
    "callbacks",
    "accepts",
    "lives",
    "latency",
    "waits",
    "push",
    "abuse",
    "idle",
    "floor",
    "memory",
    "scaling",
    "sqlite",
    "start",
)
_PEER = ROOT.parent / "shared" / "peers" / "nestjs-guide"


@dataclass(frozen=True)
class Plan:
    """Sizes of a benchmark. Numbers of messages are per run; each message has two callbacks."""

    parts: Sequence[str]
    rounds: int
    peer: Path
    foreign: float
    messages: int = 8000
    slow_messages: int = 3000
    connections: Sequence[int] = (16, 64)
    rates: Sequence[int] = (1000, 2000)
    latencies_ms: Sequence[int] = (0, 50, 200)
    paces: Sequence[int] = (5, 50, 200)
    pace_s: float = 20.0
    open_waits: Sequence[int] = (0, 500)
    crowds: Sequence[int] = (0, 500, 1000)
    abuse_s: float = 30.0
    idle_s: float = 20.0
    push_events: int = 9000
    push_backlog: int = 50_000
    sizes: Sequence[int] = (10_000, 100_000, 1_000_000)
    memory_callbacks: int = 1_000_000
    warm_up: int = 2000
    before: str = ""


def parse(arguments: Sequence[str] | None = None) -> Plan:
    """Return the plan that the command line and the environment ask for."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description="Measure smsapp; see docs/performance.md."
    )
    parser.add_argument(
        "--only",
        default=os.environ.get("ONLY", ""),
        help=f"parts to run, with commas between: {', '.join(PARTS)} (all; or set ONLY)",
    )
    parser.add_argument("--rounds", type=int, default=5, help="runs of each system, taken in turns (5)")
    parser.add_argument(
        "--peer",
        type=Path,
        default=Path(os.environ.get("PEER") or _PEER),
        help="folder of the NestJS application to compare with (or set PEER); skipped when it is not there",
    )
    parser.add_argument("--messages", type=int, help="messages of one run of callbacks (8000)")
    parser.add_argument("--connections", help="numbers of connections, with commas between (16,64)")
    parser.add_argument("--latencies", help="Twilio's latencies in ms for whole lives (0,50,200)")
    parser.add_argument("--rates", help="fixed rates of callbacks a second (1000,2000)")
    parser.add_argument("--paces", help="messages a second of which each is timed (5,50,200)")
    parser.add_argument("--memory-callbacks", type=int, help="callbacks of the memory run (1000000)")
    parser.add_argument(
        "--foreign", type=float, default=0.3, help="cores of other work that spoil a run (0.3)"
    )
    parser.add_argument("--before", default="", help="a commit to compare with, in the part `start`")
    parser.add_argument("--quick", action="store_true", help="one tiny round, to see that everything runs")
    options = parser.parse_args(arguments)
    parts = [part.strip() for part in options.only.split(",") if part.strip()] or list(PARTS)
    if unknown := set(parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    sizes: dict[str, object] = {}
    if options.quick:
        sizes = _QUICK
    given: dict[str, object] = {"messages": options.messages, "memory_callbacks": options.memory_callbacks}
    lists = {
        "connections": options.connections,
        "latencies_ms": options.latencies,
        "rates": options.rates,
        "paces": options.paces,
    }
    given |= {name: tuple(map(int, text.split(","))) for name, text in lists.items() if text}
    sizes = sizes | {name: value for name, value in given.items() if value is not None}
    return Plan(
        parts=[part for part in PARTS if part in parts],
        rounds=1 if options.quick else options.rounds,
        peer=options.peer.expanduser().absolute(),
        before=options.before,
        foreign=2.0 if options.quick else options.foreign,
        **sizes,  # type: ignore[arg-type]
    )


_QUICK: dict[str, object] = {
    "messages": 300,
    "slow_messages": 200,
    "rates": (300,),
    "paces": (20,),
    "pace_s": 2.0,
    "open_waits": (0, 20),
    "crowds": (0, 20),
    "abuse_s": 2.0,
    "idle_s": 2.0,
    "push_events": 600,
    "push_backlog": 1200,
    "sizes": (1000, 2000, 3000),
    "memory_callbacks": 2000,
    "warm_up": 100,
}
