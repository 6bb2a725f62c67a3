"""The least of an HTTP server: one connection that takes complete requests apart. Parsing one costs microseconds."""

import asyncio
import re

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Connection(asyncio.Protocol):
    """One connection; `handle` gets the head and the body of each request, in order."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to write."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Take every complete request."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n") + 4) > 3:
            head = self._received[:end]
            length = _LENGTH.search(head)
            size = end + (int(length[1]) if length else 0)
            if len(self._received) < size:
                return
            body = self._received[end:size]
            self._received = self._received[size:]
            self.handle(head, body)

    def handle(self, head: bytes, body: bytes) -> None:
        """Answer one request."""
        raise NotImplementedError
