"""A relay in front of a server on this machine: TLS or a Unix socket for a Redis that was built with neither."""

import asyncio
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support.stack import HOST

_BLOCK = 65_536


class Relay:
    """Passes bytes on to the port on this machine that `target` returns; it may be set later.

    With a `path` it listens on a Unix socket there, else on `port`, and speaks TLS if it has a context.
    """

    def __init__(
        self,
        *,
        target: Callable[[], int] = int,
        tls: ssl.SSLContext | None = None,
        path: Path | None = None,
    ) -> None:
        self.target = target
        self.port = 0
        self._tls = tls
        self._path = path
        self._server: asyncio.Server | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="relay", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self.port = asyncio.run_coroutine_threadsafe(self._listen(), self._loop).result(10)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _listen(self) -> int:
        if self._path is not None:
            self._server = await asyncio.start_unix_server(self._serve, self._path)
            return 0
        self._server = await asyncio.start_server(self._serve, HOST, 0, ssl=self._tls)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there = await asyncio.open_connection(HOST, self.target())
        except OSError:
            writer.close()
            return
        with suppress(asyncio.CancelledError):
            await asyncio.gather(_pass_on(reader, there[1]), _pass_on(there[0], writer))


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    try:
        while block := await source.read(_BLOCK):
            sink.write(block)
            await sink.drain()
    except OSError:
        pass
    finally:
        sink.close()
