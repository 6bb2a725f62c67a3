"""Requests to consumers: signed, bounded in bytes and time whatever comes back, and never to an internal address.

A caller who may set a URL could make us send requests to hosts that only we can reach: a metadata service, a database,
another tenant (SSRF). So the name is resolved here, each address is checked, and the connection goes to the very
address that was checked: DNS rebinding gains nothing. See docs/decisions/0017-events-pushed.md.
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
from http.client import SWITCHING_PROTOCOLS, HTTPException, HTTPResponse, LineTooLong
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
"""Bytes; no consumer has a reason to send more, and a longer response counts as a failure."""

KEPT_ANSWER_BYTES = 4_096

_USER_AGENT = f"smsapp/{__version__} (+https://www.standardwebhooks.com)"
_READ_BYTES = 16_384
_MAX_POOLS = 256
_CONNECTIONS_PER_POOL = 16
_MAX_INTERIM_ANSWERS = 20
_MAX_INTERIM_BYTES = 65_536
_RESOLVERS = 32

_deadline = threading.local()


class ForbiddenAddressError(Exception):
    """The consumer's host name resolves to no address that we may connect to."""


def signed_headers(event_id: str, body: bytes, secrets: Sequence[str], *, now: datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks: an id that is equal for all tries, the time, a signature per secret."""
    text = body.decode()
    whole = now.astimezone(UTC).replace(microsecond=0)
    signatures = " ".join(Webhook(secret).sign(event_id, whole, text) for secret in secrets)
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(int(whole.timestamp())),
        "webhook-signature": signatures,
    }


def remaining_s() -> float:
    """Return how much time this thread's request has left.

    Raises:
        TimeoutError: none is left.
    """
    left: float = _deadline.at - time.monotonic()
    if left <= 0:
        raise TimeoutError("the request took too long")
    return left


class _BoundedSocket(socket.socket):
    """Limits every wait to what is left of the request's total timeout, so that a dripping response is cut off, too."""

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
    """Resolves a name and connects only to allowed addresses."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = networks
        # A resolver call cannot be interrupted; here it blocks only a thread that nothing waits for.
        self._pool = ThreadPoolExecutor(_RESOLVERS, thread_name_prefix="resolver")

    def connect(self, host: str, port: int) -> socket.socket:
        """Return a connection to the first allowed address that accepts it.

        Raises:
            ForbiddenAddressError: no address is allowed.
            OSError: no address accepts it, or the name does not resolve.
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
                # Leave time for the other addresses: the first may never reply.
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


class _FinalAnswer(HTTPResponse):
    """Skips a bounded number of interim responses; http.client itself skips only 100, and any number of them.

    A client must be able to parse them (https://www.rfc-editor.org/rfc/rfc9110#section-15.2). After 101 another
    protocol would follow, which we never ask for, so it counts as the answer.
    """

    def _read_status(self) -> tuple[str, int, str]:
        room = _MAX_INTERIM_BYTES
        for _ in range(_MAX_INTERIM_ANSWERS + 1):
            line: tuple[str, int, str] = super()._read_status()  # type: ignore[misc]  # private, in every Python so far
            if not 100 <= line[1] < 200 or line[1] == SWITCHING_PROTOCOLS:
                return line
            while (field := self.fp.readline(room + 1)).strip(b"\r\n"):
                room -= len(field)
                if room < 0:
                    raise LineTooLong("interim responses")
        raise HTTPException("too many interim responses")


class _Connection(HTTPConnection):
    response_class = _FinalAnswer

    def __init__(self, *args: Any, guard: _Guard, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._guard = guard

    def _new_conn(self) -> socket.socket:
        return self._guard.connect(self._dns_host, self.port or self.default_port)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same with TLS: the certificate is checked against the name, not the address."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class WebhookPoster:
    """The real webhook client; safe to share between threads, with keep-alive connections."""

    def __init__(self, settings: Settings) -> None:
        self._guard = _Guard(settings.push_allowed_networks)
        self._timeout_s = settings.push_timeout.total_seconds()
        self._pools: OrderedDict[tuple[str, str, int | None], urllib3.HTTPConnectionPool] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def _context(self) -> ssl.SSLContext:
        """Created on first use: loading the system's CA certificates takes 20 ms, and only workers push."""
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
            answer.close()  # a connection whose response was not read to the end cannot be reused
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
    """Return the beginning of the response body, and what was wrong with the rest, if anything."""
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
    """Return the response body as text that any database can store."""
    return answer.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")


def _cause(error: BaseException) -> str:
    """Return one word for why there was no response, taken from the innermost cause that has one."""
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
