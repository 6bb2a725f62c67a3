"""The service's documents as frozen dataclasses: the fields most used, and `raw` with all of them."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Message:
    """A message and what is known of it. `status` and `outcome` are open enumerations: expect new words."""

    id: str
    status: str
    outcome: str | None
    """How it ended; None while it is under way."""
    explanation: str
    to: str
    body: str | None
    segments: int
    client_reference: str | None
    tags: tuple[str, ...]
    twilio_sid: str | None
    error: dict[str, Any] | None
    created_at: datetime
    finished_at: datetime | None
    warnings: tuple[str, ...]
    raw: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the message of an answer."""
        return cls(
            id=document["id"],
            status=document["status"],
            outcome=document["outcome"],
            explanation=document["explanation"],
            to=document["to"],
            body=document["body"],
            segments=document["segments"],
            client_reference=document["client_reference"],
            tags=tuple(document["tags"] or ()),
            twilio_sid=document["twilio_sid"],
            error=document["error"],
            created_at=datetime.fromisoformat(document["created_at"]),
            finished_at=parse_time(document["finished_at"]),
            warnings=tuple(document["warnings"]),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened. `seq` is its place in the feed: keep it with what you make of the event."""

    id: str
    seq: int
    type: str
    timestamp: datetime
    data: dict[str, Any]

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the event of a page or of a webhook's body."""
        return cls(
            id=document["id"],
            seq=document["seq"],
            type=document["type"],
            timestamp=datetime.fromisoformat(document["timestamp"]),
            data=document["data"],
        )


def parse_time(text: str | None) -> datetime | None:
    """Return the time of an answer, None for none."""
    return None if text is None else datetime.fromisoformat(text)
