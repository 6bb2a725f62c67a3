"""Open connections to consumers, and never to an internal address.

A caller who may set a URL could make us send requests to hosts that only we can reach: a metadata service, a database,
another tenant (SSRF). So the name is resolved here, each address is checked, and the connection goes to the very
address that was checked: DNS rebinding gains nothing. See docs/decisions/0017-events-pushed.md.
"""

import socket
import ssl
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Any

from smsapp.addresses import Network, is_allowed

_RESOLVERS = 32

_deadline = threading.local()


class ForbiddenAddressError(Exception):
    """The consumer's host name resolves to no address that we may connect to."""


def end_at(deadline: float) -> None:
    """Set when this thread's request must have ended, in seconds of the monotonic clock."""
    _deadline.at = deadline


def remaining_s() -> float:
    """Return how much time this thread's request has left.

    Raises:
        TimeoutError: none is left.
    """
    left: float = _deadline.at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the request took too long")
    return left


class _Bounded(socket.socket):
    """Limits every wait to what is left of the request's total timeout, so that a dripping response is cut off, too.

    `heard` says whether the other side has sent anything since it was last set to False.
    """

    heard = False

    def recv_into(self, *args: Any) -> int:
        self.settimeout(remaining_s())
        count = super().recv_into(*args)
        self.heard = self.heard or count > 0
        return count


class BoundedSocket(_Bounded):
    """The same without TLS."""

    def sendall(self, *args: Any) -> None:
        self.settimeout(remaining_s())
        super().sendall(*args)


class _BoundedTlsSocket(_Bounded, ssl.SSLSocket):
    """The same with TLS, whose `sendall` sends in parts."""

    def send(self, *args: Any) -> int:
        self.settimeout(remaining_s())
        return super().send(*args)


Connection = BoundedSocket | _BoundedTlsSocket


class Guard:
    """Resolves a name and connects only to allowed addresses."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        # A resolver call cannot be interrupted; here it blocks only a thread that nothing waits for.
        self._pool = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolver")

    def connect(self, host: str, port: int, *, secure: bool) -> Connection:
        """Return a connection to the first allowed address that accepts it, with TLS when it is `secure`.

        The certificate is checked against the name, not the address.

        Raises:
            ForbiddenAddressError: no address is allowed.
            OSError: no address accepts it, the name does not resolve, or TLS failed.
        """
        plain = self._connect(host, port)
        if not secure:
            return plain
        try:
            plain.settimeout(remaining_s())
            wrapped = self._context.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        assert isinstance(wrapped, _BoundedTlsSocket)
        return wrapped

    def _connect(self, host: str, port: int) -> BoundedSocket:
        found = self._pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        allowed = [
            item for item in found.result(remaining_s()) if is_allowed(str(item[4][0]), self._networks)
        ]
        if not allowed:
            raise ForbiddenAddressError
        for number, (family, kind, protocol, _, address) in enumerate(allowed, start=1):
            connection = BoundedSocket(family, kind, protocol)
            try:
                # Leave time for the other addresses: the first may never reply.
                connection.settimeout(remaining_s() / (len(allowed) - number + 1))
                connection.connect(address)
            except OSError:
                connection.close()
                if number == len(allowed):
                    raise
            else:
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
        raise AssertionError("unreachable")

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Created on first use: loading the system's CA certificates takes 20 ms, and only workers push."""
        context = ssl.create_default_context()
        context.sslsocket_class = _BoundedTlsSocket
        return context
