"""A client's socket whose request must arrive in time: one that drips would hold its connection for ever."""

import time
from typing import Any

REQUEST_WITHIN_S = 20.0
"""From the first byte of a request to its last."""

LEAST_BYTES_PER_S = 16 * 1024
"""A large body has more time, as long as it comes at this rate: 64 MiB take at most 70 minutes."""


class TimelySocket:
    """Reads a request within one deadline for head and body together; everything else is the socket's own."""

    def __init__(self, client: Any) -> None:
        """Wrap a blocking gevent socket."""
        self._client = client
        self._until = 0.0

    def begin(self) -> None:
        """Start the clock: the first bytes of a request are here."""
        self._until = time.monotonic() + REQUEST_WITHIN_S

    def recv(self, size: int) -> bytes:
        """Return the next bytes of the request; empty when the client sends no more.

        Raises:
            TimeoutError: the request did not arrive in time.
        """
        left = self._until - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._client.settimeout(left)
        try:
            more: bytes = self._client.recv(size)
        finally:
            self._client.settimeout(None)
        self._until += len(more) / LEAST_BYTES_PER_S
        return more

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)
