"""Time each leg of single messages at a steady pace: one client that posts and waits, and one consumer of events.

All times are of `time.perf_counter`, which is one clock for all processes of a machine.
"""

import asyncio
import json
import random
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from bench.children import BenchError
from bench.http_server import Connection
from bench.traffic import recipient_of

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_WAIT_S = 20
_PATIENCE_S = 30.0


@dataclass
class Timed:
    """One message: when it was posted, answered, and its outcome told to whoever waited for it."""

    text: str
    posted_at: float = 0.0
    accepted_at: float = 0.0
    outcome_at: float = 0.0
    id: str = ""


@dataclass
class Watched:
    """What the client and the consumer saw. `told_at` has the time of each event by message id and type."""

    messages: list[Timed] = field(default_factory=list)
    told_at: dict[tuple[str, str], float] = field(default_factory=dict)
    told: asyncio.Event = field(default_factory=asyncio.Event)


class _Consumer(Connection):
    """One connection of a consumer that answers 204 to everything at once."""

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self._watched = watched

    def handle(self, _head: bytes, body: bytes) -> None:
        event = json.loads(body)
        self._watched.told_at.setdefault((event["data"]["id"], event["type"]), time.perf_counter())
        self._watched.told.set()
        self.transport.write(b"HTTP/1.1 204 No Content\r\n\r\n")


class Watch:
    """Posts at a pace and waits for each outcome, over connections that are kept."""

    def __init__(self, port: int, headers: Mapping[str, str]) -> None:
        self._port = port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
        self._watched = Watched()

    def run(self, *, pace: float, seconds: float, open_waits: int, seed: int) -> Watched:
        """Post `pace` messages a second, at random times, beside so many requests that wait for something else."""
        return asyncio.run(self._run(pace, seconds, open_waits, seed))

    def hold(self, open_waits: int, measure: Callable[[], float]) -> float:
        """Return what is measured, in a thread, while so many requests wait and nothing happens."""
        return asyncio.run(self._hold(open_waits, measure))

    async def _hold(self, open_waits: int, measure: Callable[[], float]) -> float:
        others = await self._open_waits(open_waits)
        measured = await asyncio.to_thread(measure)
        for other in others:
            other.cancel()
        return measured

    async def _run(self, pace: float, seconds: float, open_waits: int, seed: int) -> Watched:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Consumer(self._watched), "127.0.0.1", 0)
        consumer = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        others = await self._open_waits(open_waits)
        gaps = random.Random(seed)
        lives, due = [], loop.time()
        until = due + seconds
        while (due := due + gaps.expovariate(pace)) < until:
            await asyncio.sleep(due - loop.time())
            lives.append(loop.create_task(self._life(len(lives), consumer)))
        await asyncio.wait_for(asyncio.gather(*lives), _PATIENCE_S)
        await self._all_told()
        for other in others:
            other.cancel()
        server.close()
        return self._watched

    async def _life(self, number: int, consumer: str) -> None:
        timed = Timed(text=f"Your code is {number}.")
        document = {"to": recipient_of(number), "body": timed.text, "callback_url": consumer}
        timed.posted_at = time.perf_counter()
        answer = await self._ask("POST", "/sms/send", json.dumps(document).encode())
        timed.accepted_at = time.perf_counter()
        timed.id = answer["id"]
        while not answer.get("outcome"):
            answer = await self._ask("GET", f"/sms/messages/{timed.id}?wait={_WAIT_S}")
        timed.outcome_at = time.perf_counter()
        self._watched.messages.append(timed)

    async def _open_waits(self, count: int) -> list[asyncio.Task[None]]:
        if not count:
            return []
        tomorrow = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 86_400))
        document = {"to": recipient_of(1), "body": "later", "send_at": tomorrow}
        later = await self._ask("POST", "/sms/send", json.dumps(document).encode())
        waits = [asyncio.create_task(self._wait_on(later["id"])) for _ in range(count)]
        await asyncio.sleep(2)
        return waits

    async def _wait_on(self, message_id: str) -> None:
        while True:
            await self._ask("GET", f"/sms/messages/{message_id}?wait={_WAIT_S}")

    async def _all_told(self) -> None:
        wanted = {(each.id, "message.delivered") for each in self._watched.messages}
        with suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE_S):
                while not wanted <= self._watched.told_at.keys():
                    self._watched.told.clear()
                    await self._watched.told.wait()

    async def _ask(self, method: str, path: str, body: bytes = b"") -> dict[str, str]:
        reader, writer = self._idle.pop() if self._idle else await self._connect()
        writer.write(
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n{self._headers}\r\n".encode()
            + body
        )
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        content = await reader.readexactly(int(length[1]) if length else 0)
        self._idle.append((reader, writer))
        if not head.startswith(b"HTTP/1.1 20"):
            raise BenchError(f"{method} {path}: {head[:40]!r} {content[:300]!r}")
        answer: dict[str, str] = json.loads(content)
        return answer

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self._port)
