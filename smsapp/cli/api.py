"""The service as a caller sees it, for commands that use it over HTTP."""

import json
import os
from collections.abc import Iterator
from typing import Any

import click
import urllib3

_TIMEOUT_S = 10.0
_PIECE = 64 * 1024

api_url = click.option(
    "--url",
    default=lambda: os.environ.get("SMSAPP_URL", f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"),
    help="The service's address.  [default: $SMSAPP_URL, else 127.0.0.1:$PORT]",
)
api_key = click.option(
    "--key", envvar="SMSAPP_API_KEY", required=True, help="An API key.  [env: SMSAPP_API_KEY]"
)


class Api:
    """The service, as a caller sees it."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False)

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the response's document; a problem document ends the command with its text."""
        return self._answer(method, path, headers, json=body)

    def upload(
        self, path: str, fields: list[tuple[str, Any]], headers: dict[str, str], *, timeout_s: float
    ) -> dict[str, Any]:
        """Post a form with a file in it."""
        return self._answer("POST", path, headers, fields=fields, timeout=timeout_s)

    def pieces(self, path: str) -> Iterator[bytes]:
        """Yield a long response in chunks as it arrives."""
        try:
            answer = self._pool.request("GET", self._url + path, headers=self._headers, preload_content=False)
            if answer.status >= 400:
                raise _refused(answer.status, answer.json())
            yield from answer.stream(_PIECE)
        except (urllib3.exceptions.HTTPError, json.JSONDecodeError) as error:
            raise self._unusable(error) from error

    def _answer(
        self, method: str, path: str, headers: dict[str, str] | None, **request: Any
    ) -> dict[str, Any]:
        try:
            answer = self._pool.request(
                method, self._url + path, headers=self._headers | (headers or {}), **request
            )
            document: dict[str, Any] = answer.json()
        except (urllib3.exceptions.HTTPError, json.JSONDecodeError) as error:
            raise self._unusable(error) from error
        if answer.status >= 400:
            raise _refused(answer.status, document)
        return document

    def _unusable(self, error: Exception) -> click.ClickException:
        return click.ClickException(f"{self._url} gives no usable answer ({type(error).__name__})")


def _refused(status: int, document: dict[str, Any]) -> click.ClickException:
    faults = [f"\n  {fault['pointer']}: {fault['detail']}" for fault in document.get("errors", [])]
    return click.ClickException(f"{document.get('detail', status)}{''.join(faults)}")
