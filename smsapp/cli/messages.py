"""Send and follow a message from the terminal, through the same HTTP API that programs use."""

import sys
import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import click

from smsapp.cli.api import Api, api_key, api_url

_FOLLOW_EVERY_S = 0.2


@click.command()
@click.argument("to")
@click.argument("body")
@api_url
@api_key
@click.option("--watch/--no-watch", "follow", default=True, help="Follow it to its outcome.")
def send(to: str, body: str, url: str, key: str, follow: bool) -> None:
    """Send a text and follow it to its outcome; exits 1 unless it is delivered."""
    api = Api(url, key)
    message = api.call("POST", "/sms/send", {"to": to, "body": body}, {"Idempotency-Key": str(uuid4())})
    click.echo(message["id"])
    if follow:
        _follow(api, message["id"])


@click.command()
@click.argument("message_id")
@api_url
@api_key
def watch(message_id: str, url: str, key: str) -> None:
    """Follow a message until its outcome is known; exits 1 unless it is delivered."""
    _follow(Api(url, key), message_id)


def _follow(api: Api, message_id: str) -> None:
    """Print each event as it arrives, then the outcome in a sentence."""
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


def _events(api: Api, message_id: str) -> Iterator[dict[str, Any]]:
    after = 0
    while True:
        settled = api.call("GET", f"/sms/messages/{message_id}")["outcome"] is not None
        page = api.call("GET", f"/sms/messages/{message_id}/events?after={after}")["data"]
        yield from page
        after = page[-1]["seq"] if page else after
        if settled:
            return
        time.sleep(_FOLLOW_EVERY_S)
