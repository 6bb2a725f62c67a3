"""HTTP with patience: what may pass by itself is repeated, and every refusal becomes a typed error."""

import random
import time
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

import urllib3

from smsapp_client.errors import Unreachable, api_error

TRANSIENT = frozenset({502, 503, 504})
_FIRST_PAUSE_S = 0.25


def plain(value: Any) -> Any:
    """Return a value as it is in requests.

    Raises:
        ValueError: a time without a zone.
    """
    if not isinstance(value, datetime):
        return value
    if value.tzinfo is None:
        raise ValueError("a time needs a zone: datetime.now(UTC), not datetime.now()")
    return value.isoformat()


def given(**fields: Any) -> dict[str, Any]:
    """Return the fields that are not None, as they are in requests."""
    return {name: plain(value) for name, value in fields.items() if value is not None}


class Transport:
    """A pool of connections to one service."""

    def __init__(
        self, base_url: str, api_key: str, *, retries: int, max_pause_s: float, timeout_s: float
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {api_key}", "User-Agent": "smsapp-client/0.1.0"}
        self._retries = retries
        self._max_pause_s = max_pause_s
        self._timeout_s = timeout_s
        self._pool = urllib3.PoolManager(maxsize=10, retries=False)

    def request(
        self,
        method: str,
        path: str,
        *,
        query: dict[str, Any] | None = None,
        document: object = None,
        form: Sequence[tuple[str, Any]] | None = None,
        headers: dict[str, str] | None = None,
        patience_s: float = 0,
        repeat: bool = True,
    ) -> dict[str, Any]:
        """Return the document of a 2xx answer; an empty one where there is none.

        Args:
            query: parameters; those that are None are left out.
            document: what to send as JSON.
            form: what to send as a form; the value of a file is its name, its content and its type.
            patience_s: how long the service may take on top of the usual time-out.
            repeat: whether the request does no harm when it arrives twice.

        Raises:
            ApiError: it was refused, or the service is still unavailable after all repetitions.
            Unreachable: no answer came.
        """
        answer = self._answer(
            method, path, query, headers, patience_s, repeat=repeat, json=document, fields=form
        )
        return answer.json() if answer.data else {}

    def text(self, path: str, *, patience_s: float) -> str:
        """Return an answer that is text; raises as `request` does."""
        return self._answer("GET", path, None, None, patience_s, repeat=True).data.decode()

    def pages(self, path: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Go through a list whose pages are fetched as they are needed; raises as `request` does."""
        cursor: str | None = None
        while True:
            page = self.request("GET", path, query={**query, "cursor": cursor})
            yield from page["data"]
            if not page["has_more"]:
                return
            cursor = page["next_cursor"]

    def _answer(
        self,
        method: str,
        path: str,
        query: dict[str, Any] | None,
        headers: dict[str, str] | None,
        patience_s: float,
        *,
        repeat: bool,
        **content: Any,
    ) -> urllib3.BaseHTTPResponse:
        retries = self._retries if repeat else 0
        asked = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        url = f"{self._base_url}{path}" + (f"?{asked}" if asked else "")
        timeout = urllib3.Timeout(connect=self._timeout_s, read=self._timeout_s + patience_s)
        for attempt in range(retries + 1):
            last = attempt == retries
            try:
                answer = self._pool.request(
                    method, url, headers=self._headers | (headers or {}), timeout=timeout, **content
                )
            except urllib3.exceptions.HTTPError as error:
                if last:
                    raise Unreachable(f"{method} {path}: no answer from the service") from error
                self._pause(attempt, "")
                continue
            if answer.status in TRANSIENT and not last:
                self._pause(attempt, answer.headers.get("Retry-After", ""))
                continue
            if not 200 <= answer.status < 300:
                raise api_error(answer.status, answer.data)
            return answer
        raise AssertionError("the last attempt returns or raises")

    def close(self) -> None:
        """Close all connections."""
        self._pool.clear()

    def _pause(self, attempt: int, retry_after: str) -> None:
        """Wait as long as the service asks, or ever longer, never at the same moment as all the others."""
        if retry_after.isdecimal():
            pause_s = float(retry_after) + random.uniform(0, _FIRST_PAUSE_S)
        else:
            pause_s = _FIRST_PAUSE_S * 2**attempt * random.uniform(0.5, 1.5)
        time.sleep(min(pause_s, self._max_pause_s))
