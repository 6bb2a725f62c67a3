"""Requests to consumers: signed, and bounded in bytes and time whatever comes back.

Where they may lead, and which connections are kept, is decided in `smsapp/consumers/`.
"""

import re
import socket
import ssl
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from http.client import HTTPException

from standardwebhooks.webhooks import Webhook
from urllib3.exceptions import LocationParseError
from urllib3.util import parse_url

from smsapp import __version__
from smsapp.backoff import retry_after
from smsapp.config import Settings
from smsapp.consumers.connections import Answer, Connections, Origin
from smsapp.consumers.guard import ForbiddenAddressError, Guard, end_at
from smsapp.ports import ConsumerReply

MAX_ANSWER_BYTES = 1_048_576
"""Bytes; no consumer has a reason to send more, and a longer response counts as a failure."""

KEPT_ANSWER_BYTES = 1_024
"""Enough for an error's message; consumers echo what they got."""

_USER_AGENT = f"smsapp/{__version__} (+https://www.standardwebhooks.com)"
_READ_BYTES = 16_384


_NUMBER = re.compile(r"(?<![\w-])(?:\+|%2B|00)?[0-9](?:[ ().\-]{0,2}[0-9]){6,}(?!\w)", re.IGNORECASE)
"""A phone number, or as many digits; neither a time of RFC 3339 nor a part of an id."""
_MASK = "[phone]"


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


class WebhookPoster:
    """The real webhook client; safe to share between threads, with keep-alive connections."""

    def __init__(self, settings: Settings) -> None:
        self._connections = Connections(Guard(settings.push_allowed_networks))
        self._timeout_s = settings.push_timeout.total_seconds()

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ConsumerReply:
        """Make one request; never raises for anything that a consumer or the network does."""
        began = time.monotonic()
        end_at(began + self._timeout_s)
        reply = ConsumerReply(None, timedelta())
        try:
            reply = self._post(url, body, headers)
        except (HTTPException, OSError, FutureTimeoutError, ValueError, ForbiddenAddressError) as error:
            reply = ConsumerReply(None, timedelta(), error=_cause(error))
        took = timedelta(seconds=time.monotonic() - began)
        return ConsumerReply(reply.status, took, reply.response, reply.error, reply.retry_after)

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> ConsumerReply:
        origin, target = _split(url)
        own = {"User-Agent": _USER_AGENT, "Content-Type": "application/json"}
        answer = self._connections.post(origin, target, {**own, **headers}, body)
        kept, error = _read(answer)
        if error:
            answer.abandon()
        else:
            answer.done()
        asked = retry_after(answer.header("Retry-After"), now=datetime.now(UTC))
        return ConsumerReply(answer.status, timedelta(), _readable(kept), error, asked)


@lru_cache(maxsize=1024)
def _split(url: str) -> tuple[Origin, str]:
    """Return where a URL leads, and what is asked for there, percent-encoded.

    Raises:
        ValueError: it leads nowhere.
    """
    try:
        parts = parse_url(url)
    except LocationParseError as error:
        raise ValueError("not a URL") from error
    secure = parts.scheme == "https"
    host = (parts.host or "").strip("[]")
    return Origin(secure, host, parts.port or (443 if secure else 80)), parts.request_uri


def _read(answer: Answer) -> tuple[bytes, str | None]:
    """Return the beginning of the response body, and what was wrong with the rest, if anything."""
    kept = bytearray()
    total = 0
    try:
        while chunk := answer.read(_READ_BYTES):
            total += len(chunk)
            kept += chunk[: KEPT_ANSWER_BYTES - len(kept)]
            if total > MAX_ANSWER_BYTES:
                return bytes(kept), "answer_too_large"
    except (HTTPException, OSError, ValueError) as error:
        return bytes(kept), _cause(error)
    return bytes(kept), None


def _readable(answer: bytes) -> str:
    """Return the response body as text that any database can store, without numbers, which consumers echo."""
    text = answer.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return _NUMBER.sub(_MASK, text)


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
    ((TimeoutError, FutureTimeoutError), "timeout"),
    ((socket.gaierror,), "name_not_found"),
    ((ssl.SSLError, ssl.CertificateError), "tls_failed"),
    ((ConnectionRefusedError,), "connection_refused"),
    ((ConnectionError,), "connection_broken"),
    ((HTTPException, ValueError), "unreadable_answer"),
    ((OSError,), "not_reachable"),
)
