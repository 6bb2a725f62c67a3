"""The official client's HTTP layer over urllib3 instead of requests.

Three things decide a send that the SDK's own layer hides: separate connect and read timeouts (it takes one number, and
has none by default), the reply's headers when Twilio refuses (`Retry-After`), and whether a failed request can have
reached Twilio. It also costs half the CPU per call; see docs/decisions/0003-twilio-client.md.
"""

import logging
from contextlib import suppress
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
import urllib3
from twilio.http import HttpClient
from twilio.http.response import Response
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError


class NotSentError(Exception):
    """The request did not leave this machine, so nothing can have been accepted: sending again is safe."""


class NoAnswerError(Exception):
    """The request left, but no usable answer came: Twilio may or may not have accepted it."""


class RefusedError(Exception):
    """Twilio answered with an error.

    `code` is Twilio's error code, None when the body has none (a gateway's HTML, say); `retry_after` is the header
    as it came.
    """

    def __init__(self, code: int | None, status: int, retry_after: str | None) -> None:
        super().__init__(f"http_{status}")
        self.code = code
        self.status = status
        self.retry_after = retry_after


class _Connection(HTTPConnection):
    """Tells a connection that never came about from one that broke: urllib3 reports a failed handshake as either.

    Sends head and body of a request together: of 64 threads each pays dearly for every further call into the system.
    """

    _held: list[bytes] | None = None

    def connect(self) -> None:
        """Connect, and shake hands; until both are done, nothing of the request leaves.

        Raises:
            NotSentError: DNS, TCP or TLS failed.
        """
        try:
            super().connect()
        except (OSError, HTTPError) as error:
            raise NotSentError(_name(error)) from error

    def request(self, *args: Any, **kwargs: Any) -> None:
        """Send a request."""
        self._held = []
        try:
            super().request(*args, **kwargs)
            pieces = self._held
        finally:
            self._held = None
        self.send(b"".join(pieces))

    def send(self, data: Any) -> None:
        """Send a piece of a request, or hold it until the request is complete."""
        if self._held is None:
            super().send(data)
        else:
            if self.sock is None:
                self.connect()
            self._held.append(data)


class _SecureConnection(_Connection, HTTPSConnection):
    """The same with TLS."""


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


class Transport(HttpClient):
    """Sends the official client's requests; safe to share between threads, connections are kept alive."""

    def __init__(self, *, connect_timeout: timedelta, read_timeout: timedelta, connections: int) -> None:
        super().__init__(logging.getLogger("smsapp.twilio"), is_async=False)
        self._timeout = urllib3.Timeout(
            connect=connect_timeout.total_seconds(), read=read_timeout.total_seconds()
        )
        # Never a retry here: urllib3 cannot know that a repeated create is a second text.
        self._pool = urllib3.PoolManager(
            num_pools=4, maxsize=connections, block=False, retries=False, timeout=self._timeout
        )
        self._pool.pool_classes_by_scheme = {"http": _Pool, "https": _SecurePool}

    def request(  # noqa: PLR0917 - the SDK fixes this signature
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,
        allow_redirects: bool = False,
    ) -> Response:
        """Perform one request.

        Raises:
            NotSentError: DNS, connect or TLS failure; the request cannot have been processed.
            NoAnswerError: read timeout, reset or broken reply; the request may have been processed.
            RefusedError: any reply but a 2xx.
        """
        headers = dict(headers or {})
        if auth:
            headers |= urllib3.make_headers(basic_auth=f"{auth[0]}:{auth[1]}")
        url = f"{uri}?{urlencode(params, doseq=True)}" if params else uri
        body = urlencode(data, doseq=True) if data else None
        try:
            reply = self._pool.urlopen(
                method,
                url,
                body=body,
                headers=headers,
                redirect=allow_redirects,
                timeout=self._timeout if timeout is None else timeout,
            )
        except HTTPError as error:
            raise NoAnswerError(_name(error)) from error
        if not 200 <= reply.status < 300:
            raise RefusedError(_error_code(reply.data), reply.status, reply.headers.get("Retry-After"))
        return Response(reply.status, reply.data.decode("utf-8", "replace"), reply.headers)


def _error_code(body: bytes) -> int | None:
    """Return Twilio's code from an error body, which may also be anything else."""
    with suppress(orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return int(orjson.loads(body)["code"])
    return None


def _name(error: Exception) -> str:
    """Return the kind of failure; its text may hold a URL with a phone number."""
    return type(error).__name__
