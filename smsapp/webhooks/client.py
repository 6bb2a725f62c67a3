"""Requests to consumers: signed, bounded in bytes and time whatever they answer, and never to an address of our own.

Whoever may name a URL could make us ask what only we can reach: a metadata service, a database, another tenant. So the
name is resolved here, each address is checked, and the connection is made to the very address that was checked: a
name that changes its answer in between gains nothing. See docs/decisions/0017-events-pushed.md.
"""

import socket
import ssl
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import UTC, datetime, timedelta
from functools import cached_property
from http.client import HTTPException
from typing import Any
from urllib.parse import SplitResult, urlsplit

import urllib3
from standardwebhooks.webhooks import Webhook
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError
from urllib3.exceptions import TimeoutError as UrllibTimeoutError

from smsapp import __version__
from smsapp.addresses import Network, is_allowed
from smsapp.backoff import retry_after
from smsapp.config import Settings
from smsapp.ports import ConsumerReply

MAX_ANSWER_BYTES = 1_048_576
"""Nobody has a reason to answer more; it counts as a failure."""

KEPT_ANSWER_BYTES = 4_096

_USER_AGENT = f"smsapp/{__version__} (+https://www.standardwebhooks.com)"
_READ_BYTES = 16_384
_MAX_POOLS = 256
_CONNECTIONS_PER_POOL = 16
_RESOLVERS = 32

_deadline = threading.local()


class ForbiddenAddressError(Exception):
    """The consumer's name leads to no address that may be asked."""


def signed_headers(event_id: str, body: bytes, secrets: Sequence[str], *, now: datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks: an id that stays over all tries, the time, a signature per secret."""
    text = body.decode()
    whole = now.astimezone(UTC).replace(microsecond=0)
    signatures = " ".join(Webhook(secret).sign(event_id, whole, text) for secret in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(whole.timestamp())),
        "webhook-signature": signatures,
    }


def remaining_s() -> float:
    """Return how much of this thread's request is left.

    Raises:
        TimeoutError: nothing.
    """
    left: float = _deadline.at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the request took too long")
    return left


class _BoundedSocket(socket.socket):
    """Gives every single wait only what is left of the whole: an answer that drips is cut off, too."""

    def recv_into(self, *args: Any) -> int:
        self.settimeout(remaining_s())
        return super().recv_into(*args)

    def sendall(self, *args: Any) -> None:
        self.settimeout(remaining_s())
        super().sendall(*args)


class _BoundedTlsSocket(ssl.SSLSocket):
    """The same with TLS."""

    def recv_into(self, *args: Any) -> int:
        self.settimeout(remaining_s())
        return super().recv_into(*args)

    def send(self, *args: Any) -> int:
        self.settimeout(remaining_s())
        return super().send(*args)


class _Guard:
    """Finds the addresses behind a name that may be asked."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        # A resolver cannot be interrupted; here it keeps a thread that nobody waits for.
        self._pool = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolver")

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to the first allowed address that takes it.

        Raises:
            ForbiddenAddressError: there is no allowed one.
            OSError: none takes it, or the name is not known.
        """
        found = self._pool.submit(socket.getaddrinfo, host, port, type=socket.SOCK_STREAM)
        allowed = [
            item for item in found.result(remaining_s()) if is_allowed(str(item[4][0]), self._networks)
        ]
        if not allowed:
            raise ForbiddenAddressError
        for number, (family, kind, protocol, _, address) in enumerate(allowed, start=1):
            connection = _BoundedSocket(family, kind, protocol)
            try:
                # Leave time for the other addresses: the first may swallow everything.
                connection.settimeout(remaining_s() / (len(allowed) - number + 1))
                connection.connect(address)
            except OSError:
                connection.close()
                if number == len(allowed):
                    raise
            else:
                connection.settimeout(remaining_s())
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                return connection
        raise AssertionError("unreachable")


class _Connection(HTTPConnection):
    def __init__(self, *args: Any, guard: _Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        return self._guard.connect(self._dns_host, self.port or self.default_port)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same with TLS: the certificate is checked against the name, whatever its address."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class WebhookPoster:
    """The real one; safe to share between threads, connections are kept alive."""

    def __init__(self, settings: Settings) -> None:
        self._guard = _Guard(settings.push_allowed_networks)
        self._timeout_s = settings.push_timeout.total_seconds()
        self._pools: OrderedDict[tuple[str, str, int | None], urllib3.HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Made when first needed: reading the system's authorities takes 20 ms, and only workers push."""
        context = ssl.create_default_context()
        context.sslsocket_class = _BoundedTlsSocket
        return context

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ConsumerReply:
        """Make one request; never raises for anything that a consumer or the network does."""
        began = time.monotonic()
        _deadline.at = began + self._timeout_s
        reply = ConsumerReply(None, timedelta())
        try:
            reply = self._post(urlsplit(url), body, headers)
        except (HTTPError, OSError, FutureTimeoutError, ValueError, ForbiddenAddressError) as error:
            reply = ConsumerReply(None, timedelta(), error=_cause(error))
        took = timedelta(seconds=time.monotonic() - began)
        return ConsumerReply(reply.status, took, reply.response, reply.error, reply.retry_after)

    def _post(self, parts: SplitResult, body: bytes, headers: Mapping[str, str]) -> ConsumerReply:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        answer = self._pool(parts).urlopen(
            "POST",
            target,
            body=body,
            headers={"User-Agent": _USER_AGENT, "Content-Type": "application/json", **headers},
            redirect=False,
            retries=False,
            preload_content=False,
            decode_content=False,
            timeout=urllib3.Timeout(remaining_s()),
        )
        kept, error = _read(answer)
        if error:
            answer.close()  # what was not read to its end cannot be used again
        else:
            answer.release_conn()
        asked = retry_after(answer.headers.get("Retry-After"), now=datetime.now(UTC))
        return ConsumerReply(answer.status, timedelta(), _readable(kept), error, asked)

    def _pool(self, parts: SplitResult) -> urllib3.HTTPConnectionPool:
        key = (parts.scheme, parts.hostname or "", parts.port)
        with self._lock:
            pool = self._pools.get(key)
            if pool is None:
                pool = self._pools[key] = self._new_pool(*key)
                if len(self._pools) > _MAX_POOLS:
                    self._pools.popitem(last=False)[1].close()
            self._pools.move_to_end(key)
        return pool

    def _new_pool(self, scheme: str, host: str, port: int | None) -> urllib3.HTTPConnectionPool:
        common: dict[str, Any] = {"maxsize": _CONNECTIONS_PER_POOL, "block": False, "guard": self._guard}
        if scheme == "https":
            return _SecurePool(host, port, ssl_context=self._context, **common)
        return _Pool(host, port, **common)


def _read(answer: urllib3.BaseHTTPResponse) -> tuple[bytes, str | None]:
    """Return the beginning of the answer, and what was wrong with the rest of it."""
    kept = bytearray()
    total = 0
    try:
        while chunk := answer.read(_READ_BYTES):
            total += len(chunk)
            kept += chunk[: KEPT_ANSWER_BYTES - len(kept)]
            if total > MAX_ANSWER_BYTES:
                return bytes(kept), "answer_too_large"
    except (HTTPError, OSError, ValueError) as error:
        return bytes(kept), _cause(error)
    return bytes(kept), None


def _readable(answer: bytes) -> str:
    """Return the answer as text that any database can keep."""
    return answer.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _cause(error: BaseException) -> str:
    """Return one word for why there is no answer, that of the innermost cause that says one."""
    chain: list[BaseException] = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) and inner not in chain:
        chain.append(inner)
    for kinds, word in _CAUSES:
        if any(isinstance(link, kinds) for link in chain):
            return word
    return "unreadable_answer"


_CAUSES: tuple[tuple[tuple[type[BaseException], ...], str], ...] = (
    ((ForbiddenAddressError,), "address_not_allowed"),
    ((TimeoutError, FutureTimeoutError, UrllibTimeoutError), "timeout"),
    ((socket.gaierror,), "name_not_found"),
    ((ssl.SSLError, ssl.CertificateError), "tls_failed"),
    ((ConnectionRefusedError,), "connection_refused"),
    ((ConnectionError,), "connection_broken"),
    ((HTTPException, HTTPError, ValueError), "unreadable_answer"),
    ((OSError,), "not_reachable"),
)
