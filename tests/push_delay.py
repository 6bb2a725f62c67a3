"""Measure what a hanging consumer does to a healthy one: its push delay, with and without, by turns in one run.

python -m tests.push_delay [--db sqlite] [--rate 60] [--seconds 20] [--rounds 2]
"""
# ruff: noqa: T201 - this talks to a person in a terminal

import argparse
import statistics
import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from tests.support.consumer import Consumer, accept, hang
from tests.support.stack import DATABASES, Stack


def delays(consumer: Consumer, since: int) -> list[float]:
    """Return for each event after the first so many how long it took from its time to the consumer, in seconds."""
    return sorted(
        seen.at - datetime.fromisoformat(seen.event["timestamp"]).timestamp()
        for seen in consumer.seen[since:]
    )


def ended(consumer: Consumer) -> set[str]:
    """Return the messages whose end the consumer has heard of; a late `sent` is never told."""
    return {event["data"]["id"] for event in consumer.events if event["type"] == "message.delivered"}


def measure(stack: Stack, healthy: Consumer, *, count: int, rate: float) -> list[float]:
    """Send messages at a steady rate and return the delays of their events, all of which must come."""
    before = len(healthy.seen)
    sent = stack.send(count, rate=rate)
    stack.wait_until(lambda: set(sent) <= ended(healthy), 60)
    return delays(healthy, before)


def line(name: str, found: list[float]) -> str:
    """Return the numbers that matter."""
    p95 = statistics.quantiles(found, n=20)[-1]
    return (
        f"PUSH {name} events={len(found)} p50_ms={statistics.median(found) * 1000:.0f} "
        f"p95_ms={p95 * 1000:.0f} max_ms={found[-1] * 1000:.0f}"
    )


def main() -> None:
    """Run the rounds and print the delays of each, and of all."""
    parser = argparse.ArgumentParser(prog="python -m tests.push_delay", description=__doc__)
    parser.add_argument("--db", choices=DATABASES, default="sqlite")
    parser.add_argument("--rate", type=float, default=60.0, help="messages per second; three events each")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=2)
    options = parser.parse_args()
    count = round(options.rate * options.seconds)
    found: dict[str, list[float]] = {"alone": [], "beside_a_hanging_one": []}
    with ExitStack() as cleanup:
        folder = Path(tempfile.mkdtemp(prefix="smsapp-push-")) / f"push_{options.db}"
        stack = cleanup.enter_context(Stack(folder, database=options.db))
        healthy, hanging = (cleanup.enter_context(Consumer(behave)) for behave in (accept, hang))
        stack.request("POST", "/sms/subscriptions", {"url": healthy.url})
        measure(stack, healthy, count=count // 2, rate=options.rate)  # warm up
        for number in range(options.rounds):
            found["alone"] += measure(stack, healthy, count=count, rate=options.rate)
            made = stack.request("POST", "/sms/subscriptions", {"url": hanging.url}).json()
            part = measure(stack, healthy, count=count, rate=options.rate)
            found["beside_a_hanging_one"] += part
            stack.request("DELETE", f"/sms/subscriptions/{made['id']}")
            print(f"round {number + 1}: {len(hanging.seen)} requests hang so far", flush=True)
            time.sleep(16)  # until what hangs has ended, too
    for name, values in found.items():
        print(line(name, sorted(values)), flush=True)
    alone, beside = (statistics.quantiles(values, n=20)[-1] for values in found.values())
    print(f"PUSH p95 changes by {100 * (beside / alone - 1):+.0f} %")


if __name__ == "__main__":
    main()
