"""Public forms of identifiers, and the URL at which Twilio reports on one attempt of one message."""

import re
from datetime import datetime
from typing import Literal
from uuid import UUID

from uuid_utils.compat import uuid7

Prefix = Literal["msg", "job", "in", "sup", "sub", "dlv", "ref"]

CONNECTION_OVERRIDES = "#rc=2&rp=ct,rt,5xx&ct=1500&rt=3000"
"""Asks Twilio to retry a callback that failed: (2 + 1) x (1.5 s + 3 s) stays within its limit of 15 s in total.

By default it retries once, and only when no connection was made
(https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides). The fragment is neither signed nor sent.
"""

_TARGET = re.compile(
    r"(?:msg_)?([0-9a-f]{32}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})(?:-([1-9]\d{0,5}))?", re.IGNORECASE
)
_PREFIXED = re.compile(r"([a-z]+)_([0-9a-f]{32})", re.ASCII)


def new_id() -> UUID:
    """Return a UUIDv7: unique and ordered by time, so that sorting by id sorts by age."""
    return uuid7()


def first_id_at(moment: datetime) -> UUID:
    """Return an id that is smaller than every UUIDv7 made at that time or later."""
    return UUID(int=int(moment.timestamp() * 1000) << 80)


def public_id(message_id: UUID) -> str:
    """Return the id as callers see it, such as `msg_01890a5d96a07c4b9f3e2d1c0b0a0908`."""
    return f"msg_{message_id.hex}"


def parse_public_id(text: str) -> UUID | None:
    """Return the id behind `msg_…`, or None for anything else."""
    parsed = parse_target(text)
    return parsed[0] if parsed and parsed[1] == 1 and text.startswith("msg_") else None


def inbound_id(text_id: UUID) -> str:
    """Return the id of an inbound text as callers see it, such as `in_01890a5d96a07c4b9f3e2d1c0b0a0908`."""
    return f"in_{text_id.hex}"


def suppression_id(own_id: UUID) -> str:
    """Return the id of a suppression as callers see it, such as `sup_01890a5d96a07c4b9f3e2d1c0b0a0908`."""
    return f"sup_{own_id.hex}"


def prefixed_id(prefix: Literal["sub", "dlv", "ref"], own_id: UUID) -> str:
    """Return the id of a subscription, delivery or refused callback as callers see it: `sub_…`, `dlv_…`, `ref_…`."""
    return f"{prefix}_{own_id.hex}"


def parse_id(text: str, prefix: Prefix) -> UUID | None:
    """Return the id behind the prefix and 32 hexadecimal digits, or None for anything else."""
    match = _PREFIXED.fullmatch(text)
    return UUID(match[2]) if match and match[1] == prefix else None


def public_job_id(job_id: UUID) -> str:
    """Return a job's id as callers see it, such as `job_01890a5d96a07c4b9f3e2d1c0b0a0908`."""
    return f"job_{job_id.hex}"


def parse_job_id(text: str) -> UUID | None:
    """Return the id behind `job_…`, or None for anything else."""
    return parse_id(text, "job")


def callback_url(base_url: str, message_id: UUID, attempt: int) -> str:
    """Return the URL at which Twilio must report on this attempt (1 for the first).

    The URL contains the id, so that a callback still finds its message when it overtakes Twilio's answer or when the
    answer never came. Later attempts add their number, so that no report is mistaken for another attempt's.
    """
    suffix = f"-{attempt}" if attempt > 1 else ""
    return f"{base_url}/twilio/status/{public_id(message_id)}{suffix}{CONNECTION_OVERRIDES}"


def parse_target(text: str) -> tuple[UUID, int] | None:
    """Return message and attempt from the last part of a callback's path, or None when it names no message."""
    match = _TARGET.fullmatch(text)
    return (UUID(match[1]), int(match[2] or 1)) if match else None
