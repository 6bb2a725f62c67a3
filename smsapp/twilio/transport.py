"""The official client's HTTP layer, over our own connections instead of the `requests` library.

A send depends on three things that the SDK's own layer hides: separate connect and read timeouts (it takes one number,
and has none by default), the reply's headers when Twilio refuses (`Retry-After`), and whether a failed request can have
reached Twilio. See docs/decisions/0003-twilio-client.md.
"""

import logging
from base64 import b64encode
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlencode

import orjson
from twilio.http import HttpClient
from twilio.http.response import Response

from smsapp.twilio.connections import Connections


class RefusedError(Exception):
    """Twilio answered with an error.

    `code` is Twilio's error code, None when the body has none (a gateway's HTML, say); `retry_after` is the raw header.
    """

    def __init__(self, code: int | None, status: int, retry_after: str | None) -> None:
        super().__init__(f"http_{status}")
        self.code = code
        self.status = status
        self.retry_after = retry_after


class Transport(HttpClient):
    """Sends the official client's requests; safe to share between threads, connections are kept alive."""

    def __init__(self, *, connect_timeout: timedelta, read_timeout: timedelta, connections: int) -> None:
        super().__init__(logging.getLogger("smsapp.twilio"), is_async=False)
        self._connections = Connections(
            connect_timeout=connect_timeout, read_timeout=read_timeout, keep=connections
        )

    def close(self) -> None:
        """Close idle connections."""
        self._connections.close()

    def request(  # noqa: PLR0917 - the SDK fixes this signature
        self,
        method: str,
        uri: str,
        params: dict[str, object] | None = None,
        data: dict[str, object] | None = None,
        headers: dict[str, str] | None = None,
        auth: tuple[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG002
        allow_redirects: bool = False,  # noqa: ARG002
    ) -> Response:
        """Perform one request; the connections' timeouts apply, and a redirect counts as a refusal.

        Raises:
            NotSentError: DNS, connect or TLS failure; the request cannot have been processed.
            NoAnswerError: read timeout, reset or broken reply; the request may have been processed.
            RefusedError: any reply but a 2xx.
        """
        headers = dict(headers or {})
        if auth:
            headers["Authorization"] = _basic(*auth)
        url = f"{uri}?{urlencode(params, doseq=True)}" if params else uri
        body = urlencode(data, doseq=True).encode() if data else b""
        reply = self._connections.request(method, url, headers, body)
        if not 200 <= reply.status < 300:
            raise RefusedError(_error_code(reply.body), reply.status, reply.headers.get("retry-after"))
        return Response(reply.status, reply.body.decode("utf-8", "replace"), reply.headers)


def _basic(user: str, password: str) -> str:
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode()


def _error_code(body: bytes) -> int | None:
    """Return Twilio's code from an error body, None if the body is anything else."""
    with suppress(orjson.JSONDecodeError, AttributeError, KeyError, TypeError, ValueError):
        return int(orjson.loads(body)["code"])
    return None
