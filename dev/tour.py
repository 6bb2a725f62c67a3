"""Follow one message through the running service and print each event as it happens."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from threading import Event
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import ProxyHandler, Request, build_opener

RECIPIENT = "+15005550123"
FINAL = {"delivered", "undelivered", "failed", "canceled"}

_ORIGINS = {
    ("request", "pending"): "stored, and our caller answered with 202",
    ("system", "submitting"): "a worker took it",
    ("api", None): "Twilio's answer to our request",
    ("callback", None): "Twilio's signed callback",
    ("poll", None): "asked of Twilio",
}
_POLL_S = 0.1

# Requests to this machine must not go through a proxy.
_http = build_opener(ProxyHandler({}))


class TourError(Exception):
    """The service broke a promise; the text says which."""


@dataclass(frozen=True, slots=True)
class Service:
    """Where the service is, and a key for it."""

    url: str
    api_key: str

    def call(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the JSON answer to a GET, or to a POST of the body.

        Raises:
            TourError: the answer was an error.
        """
        headers = {"Authorization": f"Bearer {self.api_key}", "Content-Type": "application/json"}
        content = json.dumps(body).encode() if body is not None else None
        try:
            with _http.open(Request(self.url + path, content, headers), timeout=10) as response:  # noqa: S310
                answer: dict[str, Any] = json.load(response)
                return answer
        except HTTPError as error:
            raise TourError(
                f"{path} answered {error.code}: {error.read().decode(errors='replace')}"
            ) from error
        except (URLError, OSError, ValueError) as error:
            raise TourError(f"{path}: {error}") from error


def answers(url: str) -> bool:
    """Return whether a GET of the URL is answered with 2xx now."""
    try:
        with _http.open(url, timeout=2) as response:
            return bool(200 <= response.status < 300)
    except OSError:  # HTTPError and URLError are among them
        return False


def wait_for(url: str, stopping: Event, deadline_s: float) -> None:
    """Return once the URL answers 2xx.

    Raises:
        TourError: it did not in time, or the processes are being stopped.
    """
    deadline = time.monotonic() + deadline_s
    while not answers(url):
        if stopping.wait(_POLL_S) or time.monotonic() > deadline:
            raise TourError(f"{url} did not answer within {deadline_s:.0f} s")


def send_one(service: Service) -> str:
    """Send a message and return its id."""
    return str(service.call("/sms/send", {"to": RECIPIENT, "body": "Hello from smsapp!"})["id"])


def follow(service: Service, message_id: str, stopping: Event, deadline_s: float) -> Iterator[dict[str, Any]]:
    """Yield the message's events as they come, up to the one with a final status.

    Raises:
        TourError: the final status did not come in time, or the processes are being stopped.
    """
    deadline = time.monotonic() + deadline_s
    seen = 0
    while time.monotonic() < deadline and not stopping.is_set():
        events = service.call(f"/sms/messages/{message_id}/events?limit=100")["data"]
        yield from events[seen:]
        if any(event["status"] in FINAL for event in events[seen:]):
            return
        seen = len(events)
        time.sleep(_POLL_S)
    raise TourError(f"{message_id} did not reach a final status within {deadline_s:.0f} s")


def send_and_follow(service: Service, stopping: Event, deadline_s: float = 30) -> bool:
    """Send one message, print its story line by line, and return whether it was delivered."""
    message_id = send_one(service)
    print(f"  {message_id} to {RECIPIENT}", flush=True)
    status, first = "", None
    for event in follow(service, message_id, stopping, deadline_s):
        status, at = event["status"], datetime.fromisoformat(event["received_at"])
        first = first or at
        origin = _ORIGINS.get((event["source"], status)) or _ORIGINS.get((event["source"], None), "")
        print(f"    +{(at - first).total_seconds():5.2f} s  {status:<12} {origin}".rstrip(), flush=True)
    return status == "delivered"
