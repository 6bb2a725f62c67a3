"""Callbacks in a test: made as Twilio makes them, appended to the stream, and processed."""

from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from smsapp.callbacks import dead_letters
from smsapp.callbacks.track import track_callbacks
from smsapp.ids import new_id, public_id
from smsapp.runtime import Runtime
from smsapp.twilio.callback import Callback
from tests.support.messages import stored

POISON = "MessageSid=SM00000000000000000000000000000000"
"""A body that cannot be processed: a callback without a status."""


def callback(rt: Runtime, message_id: UUID, status: str, *, attempt: int = 1, **parameters: str) -> Callback:
    """Return what Twilio posts about an attempt: on the path that names it, with the SID that is stored."""
    suffix = f"-{attempt}" if attempt > 1 else ""
    form = {"MessageSid": stored(rt, message_id).twilio_sid or "", "MessageStatus": status} | parameters
    return raw_callback(rt, public_id(message_id) + suffix, urlencode(form))


def raw_callback(rt: Runtime, target: str | None, body: str, **changes: Any) -> Callback:
    """Return a callback with this body, valid or not."""
    made = Callback(
        receipt_id=new_id(),
        kind="status",
        target=target,
        body=body,
        idempotency_token=None,
        received_at=rt.clock(),
    )
    return made._replace(**changes)


def append(rt: Runtime, *callbacks: Callback) -> None:
    """Append callbacks to the stream, as the web process does."""
    rt.stream.append(callbacks, flag="woken", flag_ttl_ms=1)


def receive(rt: Runtime, *callbacks: Callback) -> None:
    """Append callbacks to the stream and process everything in it."""
    append(rt, *callbacks)
    track_callbacks(rt)


def letters(rt: Runtime) -> list[tuple[str, str]]:
    """Return the dead letters: body and cause."""
    with rt.sessions() as session:
        found = dead_letters.waiting(session, limit=1000)
        return [(letter.payload.get("body", ""), letter.cause) for letter in found]
