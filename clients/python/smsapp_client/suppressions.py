"""Who is not to be texted."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from smsapp_client.transport import Transport, given

_PATH = "/sms/suppressions"
_PATIENCE_S = 300.0


@dataclass(frozen=True, slots=True)
class Suppression:
    """Somebody who is not to be texted: by one sender or Messaging Service, or by any."""

    id: str
    recipient: str
    sender: str | None
    messaging_service_sid: str | None
    active: bool
    source: str
    note: str | None
    since: datetime
    raw: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the suppression of an answer; that of a single one has `history` in `raw`."""
        return cls(
            id=document["id"],
            recipient=document["recipient"],
            sender=document["sender"],
            messaging_service_sid=document["messaging_service_sid"],
            active=document["active"],
            source=document["source"],
            note=document["note"],
            since=datetime.fromisoformat(document["since"]),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: `added` were new, `known` suppressed already, `faulty` not taken, as `faults` says."""

    rows: int
    added: int
    known: int
    faulty: int
    faults: tuple[dict[str, Any], ...]


class Suppressions:
    """`/sms/suppressions`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def add(
        self,
        recipient: str,
        note: str,
        *,
        sender: str | None = None,
        messaging_service_sid: str | None = None,
    ) -> Suppression:
        """Text a recipient no more, from one sender or Messaging Service, or with neither from any; safe to repeat.

        Args:
            note: why; it is kept.
        """
        document = given(
            recipient=recipient, note=note, sender=sender, messaging_service_sid=messaging_service_sid
        )
        return Suppression.from_document(self._transport.request("POST", _PATH, document=document))

    def get(self, suppression_id: str) -> Suppression:
        """Return a suppression, also one that is lifted.

        Raises:
            NotFound: there is none with this id.
        """
        return Suppression.from_document(self._transport.request("GET", _address(suppression_id)))

    def all(
        self,
        *,
        recipient: str | None = None,
        sender: str | None = None,
        source: str | None = None,
        status: str = "active",
        page_size: int = 100,
    ) -> Iterator[Suppression]:
        """Go through all that match; `status` is `active`, `lifted` or `all`."""
        query = {
            "recipient": recipient,
            "sender": sender,
            "source": source,
            "status": status,
            "limit": page_size,
        }
        yield from map(Suppression.from_document, self._transport.pages(_PATH, query))

    def lift(self, suppression_id: str, note: str) -> Suppression:
        """Let a recipient be texted again, and say why; Twilio's own list stays as it is.

        Raises:
            NotFound: there is none with this id.
        """
        path = _address(suppression_id) + "/lift"
        return Suppression.from_document(self._transport.request("POST", path, document={"note": note}))

    def import_rows(self, rows: Iterable[Mapping[str, str | None]]) -> Imported:
        """Suppress everybody of a list, each row with `recipient`, perhaps `sender` and `note`; safe to repeat."""
        document = {"rows": [dict(row) for row in rows]}
        answer = self._transport.request("POST", f"{_PATH}/import", document=document, patience_s=_PATIENCE_S)
        return Imported(
            answer["rows"], answer["added"], answer["known"], answer["faulty"], tuple(answer["faults"])
        )


def _address(suppression_id: str) -> str:
    return f"{_PATH}/{quote(suppression_id, safe='')}"
