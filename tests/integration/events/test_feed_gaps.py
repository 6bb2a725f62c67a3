"""A reader that follows the feed sees every committed event once, in order: whoever writes, fails or dies meanwhile."""

import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import orjson

from smsapp.events.read_feed import FeedFilter, read_feed
from smsapp.keys.models import DEFAULT_APPLICATION
from smsapp.runtime import Runtime
from tests.support.feed_writer import write

ROOT = Path(__file__).parents[3]
WRITERS = 5
TRANSACTIONS = 40
MORTAL_TRANSACTIONS = 12


def follow(rt: Runtime, finished: Callable[[], bool]) -> list[dict[str, Any]]:
    """Read page after page while others write, and to the end; each page goes on where the last one ended."""
    seen: list[dict[str, Any]] = []
    after, limit = 0, 1
    while True:
        last = finished()
        page = read_feed(rt, after, FeedFilter(DEFAULT_APPLICATION, limit))
        assert [event["seq"] for event in page.events] == list(range(after + 1, page.next_after + 1))
        seen += page.events
        after, limit = page.next_after, limit % 97 + 1  # pages of all sizes
        if last and not page.has_more:
            return seen
        time.sleep(0 if page.has_more else 0.001)


def test_a_reader_sees_every_committed_event_once_in_order_and_without_gaps(
    rt: Runtime, tmp_path: Path
) -> None:
    url = rt.settings.database_url
    program = [sys.executable, "-m", "tests.support.feed_writer", url, str(MORTAL_TRANSACTIONS)]
    told = tmp_path / "told.txt"
    with told.open("wb") as out, ThreadPoolExecutor(WRITERS) as pool:
        mortal = subprocess.Popen(program, cwd=ROOT, stdout=out)
        written: dict[str, Future[list[list[str]]]] = {
            name: pool.submit(lambda name: list(write(url, name, TRANSACTIONS)), name)
            for name in (f"writer-{number}" for number in range(WRITERS))
        }
        seen = follow(
            rt, lambda: mortal.poll() is not None and all(future.done() for future in written.values())
        )

    committed = {name: future.result() for name, future in written.items()}
    committed["mortal"] = [line.split() for line in told.read_text().splitlines()]
    assert mortal.returncode == -9
    assert len(committed["mortal"]) == MORTAL_TRANSACTIONS - 1  # its last one never happened
    assert [event["seq"] for event in seen] == list(range(1, len(seen) + 1))
    for name, transactions in committed.items():
        heard = [event["id"] for event in seen if event["data"] == {"writer": name, "kind": "kept"}]
        assert heard == [f"evt_{each}" for ids in transactions for each in ids]
    assert len(seen) == sum(len(ids) for transactions in committed.values() for ids in transactions)
    assert len(seen) > WRITERS * TRANSACTIONS * 5
    assert orjson.dumps(follow(rt, lambda: True)) == orjson.dumps(seen)
