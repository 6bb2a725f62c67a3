"""What Twilio really did: the counts, and every accepted message with its callbacks.

Tests and load runs compare smsapp's own ledger with this one.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from simulator.messages import CallbackRecord, Message, MessageStore


@dataclass(slots=True)
class Ledger:
    """The counts since the start or the last reset. Keys of `refused` are Twilio's codes, and `reset`."""

    refused: Counter[str] = field(default_factory=Counter)
    posted: int = 0
    acked: int = 0
    lost: int = 0
    unreachable: int = 0
    non_2xx: Counter[str] = field(default_factory=Counter)
    pending: int = 0
    concurrent: int = 0
    peak_concurrent: int = 0

    def enter(self) -> None:
        """Count a request in progress."""
        self.concurrent += 1
        self.peak_concurrent = max(self.peak_concurrent, self.concurrent)

    def leave(self) -> None:
        """Count a request as over."""
        self.concurrent -= 1

    def count_post(self, record: CallbackRecord, *, is_copy: bool, is_forged: bool) -> str:
        """Count a callback that was posted and return its outcome."""
        self.posted += 1
        status = record.http_status
        if status is None:
            self.unreachable += 1
        elif 200 <= status < 300:
            self.acked += 1
        else:
            self.non_2xx[str(status)] += 1
        if is_forged:
            return "forged"
        if status is None:
            return "unreachable"
        if not 200 <= status < 300:
            return "refused"
        return "duplicate" if is_copy else "delivered"


def summary(ledger: Ledger, store: MessageStore) -> dict[str, Any]:
    """Return the counts alone."""
    return {
        "accepted": len(store.accepted),
        "answers_hidden": sum(not message.answered for message in store.accepted),
        "unlisted": sum(not message.listed for message in store.accepted),
        "refused": dict(ledger.refused),
        "statuses": dict(Counter(message.status for message in store.accepted)),
        "callbacks_sent": ledger.posted,
        "callbacks_acked": ledger.acked,
        "callbacks_lost": ledger.lost,
        "callbacks_unreachable": ledger.unreachable,
        "callbacks_non_2xx": dict(ledger.non_2xx),
        "callbacks_pending": ledger.pending,
        "concurrent": ledger.concurrent,
        "peak_concurrent": ledger.peak_concurrent,
    }


def full(
    ledger: Ledger, store: MessageStore, *, after: int = 0, limit: int | None = None, to: str | None = None
) -> dict[str, Any]:
    """Return the accepted messages in order, from the offset `after` on; `next` is where to go on."""
    messages = store.accepted if to is None else store.accepted_for(to)
    chosen = messages[after:] if limit is None else messages[after : after + limit]
    return {
        "accepted": len(store.accepted),
        "refused": dict(ledger.refused),
        "next": after + len(chosen),
        "messages": [_entry(message) for message in chosen],
    }


def _entry(message: Message) -> dict[str, Any]:
    return {
        "sid": message.sid,
        "to": message.draft.to,
        "from": message.from_,
        "messaging_service_sid": message.draft.messaging_service_sid,
        "body": message.draft.body,
        "status": message.status,
        "error_code": message.error_code,
        "outcome": message.outcome,
        "answer": "given" if message.answered else "hidden",
        "listed": message.listed,
        "deleted": message.deleted,
        "feedback": message.feedback,
        "status_callback": message.draft.status_callback,
        "created_at": _iso(message.created_at),
        "callbacks": [_callback(record) for record in message.callbacks],
    }


def _callback(record: CallbackRecord) -> dict[str, Any]:
    return {
        "status": record.status,
        "error_code": record.error_code,
        "at": _iso(record.at),
        "outcome": record.outcome,
        "http_status": record.http_status,
        "attempts": record.attempts,
    }


def _iso(epoch_s: float) -> str:
    return datetime.fromtimestamp(epoch_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
