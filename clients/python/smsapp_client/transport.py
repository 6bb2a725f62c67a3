"""HTTP with patience: what may pass by itself is repeated, and every refusal becomes a typed error."""

import random
import time
from typing import Any
from urllib.parse import urlencode

import urllib3

from smsapp_client.errors import Unreachable, api_error

TRANSIENT = frozenset({502, 503, 504})
_FIRST_PAUSE_S = 0.25


class Transport:
    """A pool of connections to one service. Every request that it is given must be safe to repeat."""

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
        headers: dict[str, str] | None = None,
        patience_s: float = 0,
    ) -> dict[str, Any]:
        """Return the document of a 2xx answer.

        Args:
            query: parameters; those that are None are left out.
            patience_s: how long the service was asked to hold the answer back, on top of the usual time-out.

        Raises:
            ApiError: it was refused, or the service is still unavailable after all repetitions.
            Unreachable: no answer came.
        """
        asked = urlencode({name: value for name, value in (query or {}).items() if value is not None})
        url = f"{self._base_url}{path}" + (f"?{asked}" if asked else "")
        timeout = urllib3.Timeout(connect=self._timeout_s, read=self._timeout_s + patience_s)
        for attempt in range(self._retries + 1):
            last = attempt == self._retries
            try:
                answer = self._pool.request(
                    method, url, json=document, headers=self._headers | (headers or {}), timeout=timeout
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
            found: dict[str, Any] = answer.json()
            return found
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
