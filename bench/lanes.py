"""`python -m bench.lanes`: a campaign and codes at one paced sender; how long codes take, and whether the pace holds.

The real processes, with the simulated Twilio, on 127.0.0.1. First codes alone, then the same number of codes behind a
campaign that is queued already. Exits 1 when a code's p95 to its hand-over is more than twice that of the idle system,
or when any five seconds at the simulator hold more than 5 % more segments than the pace allows.
"""

import argparse
import sys
import tempfile
import time
from bisect import bisect_left
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from statistics import median

from tests.support.environment import SENDER
from tests.support.stack import DATABASES, Stack

WINDOW_S = 5.0
MOST_SLOWDOWN = 2.0
MOST_EXCESS = 0.05


@dataclass(frozen=True, slots=True)
class Spread:
    """Times to hand-over in milliseconds."""

    median_ms: float
    p95_ms: float
    worst_ms: float

    @classmethod
    def of(cls, spans_ms: Sequence[float]) -> "Spread":
        """Return the spread of some spans."""
        ordered = sorted(spans_ms)
        return cls(median(ordered), ordered[int(len(ordered) * 0.95)], ordered[-1])

    def __str__(self) -> str:
        return f"median {self.median_ms:.0f} ms, p95 {self.p95_ms:.0f} ms, worst {self.worst_ms:.0f} ms"


def main() -> int:
    """Measure on the databases asked for; 0 when the goals are met."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--database", choices=DATABASES, action="append")
    parser.add_argument("--bulk", type=int, default=10_000, help="messages of the campaign")
    parser.add_argument("--otp", type=int, default=200, help="codes, alone and again beside the campaign")
    parser.add_argument("--otp-rate", type=float, default=4.0, help="codes per second")
    parser.add_argument("--pace", type=float, default=20.0, help="segments per second of the sender")
    parser.add_argument("--workers", type=int, default=4, help="worker processes")
    options = parser.parse_args()
    met = [measure(database, options) for database in options.database or DATABASES]
    return 0 if all(met) else 1


def measure(database: str, options: argparse.Namespace) -> bool:
    """Run both halves on one database and print what was found."""
    environment = {"SENDER_PACE": f"{SENDER}={options.pace}", "POLL_AGES": "1h"}
    with (
        tempfile.TemporaryDirectory(prefix="lanes-") as folder,
        Stack(
            Path(folder),
            database=database,
            workers=options.workers,
            environment=environment,
            without=["flower"],
        ) as stack,
    ):
        codes(stack, 10, options.otp_rate)  # connections, caches
        idle = codes(stack, options.otp, options.otp_rate)
        stack.send(options.bulk, priority="bulk", concurrency=16)
        before = len(stack.ledger())
        busy = codes(stack, options.otp, options.otp_rate)
        time.sleep(WINDOW_S)
        arrivals = sorted(arrived(entry) for entry in stack.ledger())
    took = arrivals[-1] - arrivals[before]
    kept = (len(arrivals) - before) / took / options.pace
    excess = fullest(arrivals) / (options.pace * WINDOW_S) - 1
    slowdown = busy.p95_ms / idle.p95_ms
    print(f"{database}, {options.workers} workers, {options.pace:g} segments/s:")
    print(f"  {options.otp} codes alone:                 {idle}")
    print(f"  {options.otp} codes behind {options.bulk} of a campaign: {busy}  (p95 {slowdown:.2f} times)")
    print(
        f"  fullest {WINDOW_S:g} s at the simulator: {excess:+.1%} of the pace; on average {kept:.1%} of it used"
    )
    return slowdown <= MOST_SLOWDOWN and excess <= MOST_EXCESS


def codes(stack: Stack, count: int, rate: float) -> Spread:
    """Send codes at a rate, each as a caller would; return the times from the request to Twilio's receipt."""
    began = time.monotonic()

    def send(number: int) -> tuple[str, float]:
        time.sleep(max(0.0, began + number / rate - time.monotonic()))
        body = f"code {time.time_ns()}"
        asked = time.time()
        stack.post(f"+155530{number:05d}", body, priority="otp")
        return body, asked

    with ThreadPoolExecutor(4) as threads:
        asked = dict(threads.map(send, range(count)))
    stack.wait_until(lambda: asked.keys() <= {entry["body"] for entry in stack.ledger()}, 30)
    at = {entry["body"]: arrived(entry) for entry in stack.ledger() if entry["body"] in asked}
    return Spread.of([(at[body] - when) * 1000 for body, when in asked.items()])


def arrived(entry: dict[str, str]) -> float:
    """Return when the simulator got a message, in seconds since 1970."""
    return datetime.fromisoformat(entry["created_at"]).timestamp()


def fullest(arrivals: Sequence[float]) -> int:
    """Return the most arrivals in any window; arrivals are in order."""
    return max(bisect_left(arrivals, at + WINDOW_S) - place for place, at in enumerate(arrivals))


if __name__ == "__main__":
    sys.exit(main())
