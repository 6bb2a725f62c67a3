"""Where events are pushed to."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Self
from urllib.parse import quote

from smsapp_client.transport import Transport, given, plain

_PATH = "/sms/subscriptions"


@dataclass(frozen=True, slots=True)
class Subscription:
    """Whom events go to. `secret` is there only right after it was made: keep it for `verify`."""

    id: str
    url: str
    event_types: tuple[str, ...] | None
    tags: tuple[str, ...] | None
    enabled: bool
    recovering: bool
    created_at: datetime
    secret: str | None = field(repr=False)
    raw: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the subscription of an answer."""
        types, tags = document["event_types"], document["tags"]
        return cls(
            id=document["id"],
            url=document["url"],
            event_types=None if types is None else tuple(types),
            tags=None if tags is None else tuple(tags),
            enabled=document["enabled"],
            recovering=document["recovering"],
            created_at=datetime.fromisoformat(document["created_at"]),
            secret=document.get("secret"),
            raw=document,
        )


class Subscriptions:
    """`/sms/subscriptions`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        url: str,
        *,
        event_types: Sequence[str] | None = None,
        tags: Sequence[str] | None = None,
        headers: Mapping[str, str] | None = None,
        description: str | None = None,
        idempotency_key: str | None = None,
    ) -> Subscription:
        """Have events POSTed to an address, and return the subscription with its secret.

        Args:
            event_types: only these; None for all.
            tags: only events about messages with one of these; None for all.
            headers: sent with each event.
            idempotency_key: your own, to repeat the request from another process; a new one for each call without.

        Raises:
            InvalidRequest: events may not go there, or something else is wrong.
        """
        document = given(
            url=url, event_types=event_types, tags=tags, headers=headers, description=description
        )
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return Subscription.from_document(
            self._transport.request("POST", _PATH, document=document, headers=key)
        )

    def get(self, subscription_id: str) -> Subscription:
        """Return a subscription; how its consumer fares is in `raw`.

        Raises:
            NotFound: there is none with this id.
        """
        return Subscription.from_document(self._transport.request("GET", _address(subscription_id)))

    def all(self, *, page_size: int = 100) -> Iterator[Subscription]:
        """Go through all subscriptions, oldest first."""
        yield from map(Subscription.from_document, self._transport.pages(_PATH, {"limit": page_size}))

    def rotate_secret(self, subscription_id: str, *, overlap: timedelta = timedelta(days=1)) -> Subscription:
        """Return the subscription with a new secret; until the overlap is over, each event has both signatures.

        Not repeated: `Unreachable` leaves open whether the secret is another one. Ask again then.

        Raises:
            NotFound: there is none with this id.
        """
        document = {"overlap_s": round(overlap.total_seconds())}
        return self._ask(subscription_id, "rotate", document, repeat=False)

    def recover(self, subscription_id: str, since: datetime) -> Subscription:
        """Have every event since then delivered that its consumer does not have, each once.

        Raises:
            Conflict: `subscription_disabled`.
            NotFound: there is none with this id.
        """
        return self._ask(subscription_id, "recover", {"since": plain(since)})

    def delete(self, subscription_id: str) -> None:
        """End a subscription; what it is still owed is dropped.

        Raises:
            NotFound: there is none with this id, perhaps since a deletion whose answer was lost.
        """
        self._transport.request("DELETE", _address(subscription_id))

    def _ask(
        self, subscription_id: str, verb: str, document: dict[str, Any], *, repeat: bool = True
    ) -> Subscription:
        path = f"{_address(subscription_id)}/{verb}"
        return Subscription.from_document(
            self._transport.request("POST", path, document=document, repeat=repeat)
        )


def _address(subscription_id: str) -> str:
    return f"{_PATH}/{quote(subscription_id, safe='')}"
