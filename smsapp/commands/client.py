"""Sending and following a message from the terminal, through the same HTTP API that programs use."""

import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import click
import urllib3

_FOLLOW_EVERY_S = 0.2
_TIMEOUT_S = 10.0

_url = click.option(
    "--url",
    default=lambda: os.environ.get("SMSAPP_URL", f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"),
    help="The service's address.  [default: $SMSAPP_URL, else 127.0.0.1:$PORT]",
)
_key = click.option(
    "--key", envvar="SMSAPP_API_KEY", required=True, help="An API key.  [env: SMSAPP_API_KEY]"
)


@click.command()
@click.argument("to")
@click.argument("body")
@_url
@_key
@click.option("--watch/--no-watch", "follow", default=True, help="Show what becomes of it.")
def send(to: str, body: str, url: str, key: str, follow: bool) -> None:
    """Send a text and show what becomes of it; exits 1 unless it is delivered."""
    api = _Api(url, key)
    message = api.call("POST", "/sms/send", {"to": to, "body": body}, {"Idempotency-Key": str(uuid4())})
    click.echo(message["id"])
    if follow:
        _follow(api, message["id"])


@click.command()
@click.argument("message_id")
@_url
@_key
def watch(message_id: str, url: str, key: str) -> None:
    """Follow a message until its outcome is known; exits 1 unless it is delivered."""
    _follow(_Api(url, key), message_id)


class _Api:
    """The service, as a caller sees it."""

    def __init__(self, url: str, key: str) -> None:
        self._url = url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {key}", "Accept": "application/json"}
        self._pool = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False)

    def call(
        self, method: str, path: str, body: object = None, headers: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Return the answer's document; a problem document ends the command with its words."""
        try:
            answer = self._pool.request(
                method, self._url + path, json=body, headers=self._headers | (headers or {})
            )
            document: dict[str, Any] = answer.json()
        except (urllib3.exceptions.HTTPError, json.JSONDecodeError) as error:
            raise click.ClickException(
                f"{self._url} gives no usable answer ({type(error).__name__})"
            ) from error
        if answer.status >= 400:
            faults = [f"\n  {fault['pointer']}: {fault['detail']}" for fault in document.get("errors", [])]
            raise click.ClickException(f"{document.get('detail', answer.status)}{''.join(faults)}")
        return document


def _follow(api: _Api, message_id: str) -> None:
    """Print each event as it comes, then the outcome in a sentence."""
    began: datetime | None = None
    for event in _events(api, message_id):
        at = datetime.fromisoformat(event["received_at"])
        began = began or at
        note = "" if event["applied"] else f"  (changed nothing: {event['reason']})"
        click.echo(f"  +{(at - began).total_seconds():7.3f} s  {event['status']:12} {event['source']}{note}")
    message = api.call("GET", f"/sms/messages/{message_id}")
    click.echo(message["explanation"])
    if message["outcome"] != "delivered":
        sys.exit(1)


def _events(api: _Api, message_id: str) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        settled = api.call("GET", f"/sms/messages/{message_id}")["outcome"] is not None
        page = api.call("GET", f"/sms/messages/{message_id}/events?after={after}")["data"]
        yield from page
        after = page[-1]["seq"] if page else after
        if settled:
            return
        time.sleep(_FOLLOW_EVERY_S)
