"""Our rows as the service itself would have written them: messages with their whole history, in bulk."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import psycopg
from sqlalchemy import Engine, Table, insert

from bench.traffic import ACCOUNT_SID, SENDER, message_id_of, recipient_of, sid_of
from smsapp.messages.models import Message, MessageEvent
from smsapp.messages.status import Status, bit_of

_BLOCK = 2000
_NOT_DUE_FOR = timedelta(days=1)  # otherwise the service would poll Twilio about them during the benchmark
_HISTORY = (
    ("request", Status.PENDING, None),
    ("system", Status.SUBMITTING, "claimed"),
    ("api", Status.QUEUED, None),
    ("callback", Status.SENT, None),
    ("callback", Status.DELIVERED, None),
)
_QUEUED_EVENTS = 3
_MESSAGE_COLUMNS = (
    *(
        "id",
        "api_key_id",
        "to",
        "sender",
        "body",
        "encoding",
        "segments",
        "on_unconfirmed",
        "status",
        "outcome",
    ),
    *("twilio_sid", "attempt", "resends_left", "version", "reported", "due_at", "created_at", "submitted_at"),
    *("sent_at", "finished_at", "updated_at"),
)
EVENT_COLUMNS = (
    *("message_id", "seq", "receipt_id", "source", "status", "applied", "reason", "attempt", "twilio_sid"),
    *("payload", "received_at"),
)

Row = tuple[Any, ...]


def seed_postgres(url: str, numbers: range, api_key_id: UUID, *, delivered: bool) -> None:
    """Store messages that are queued at Twilio, or delivered, by COPY."""
    with psycopg.connect(url) as connection:
        messages = _messages(numbers, api_key_id, delivered)
        copy_blocks(connection, "messages", _MESSAGE_COLUMNS, blocks(messages, _BLOCK))
        copy_blocks(
            connection, "message_events", EVENT_COLUMNS, blocks(event_rows(numbers, delivered), _BLOCK)
        )


def seed_sqlite(engine: Engine, numbers: range, api_key_id: UUID) -> None:
    """Store messages that are queued at Twilio."""
    with engine.connect() as connection:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        for model, columns, rows in (
            (Message, _MESSAGE_COLUMNS, _messages(numbers, api_key_id, delivered=False)),
            (MessageEvent, EVENT_COLUMNS, event_rows(numbers, delivered=False)),
        ):
            table: Table = model.__table__  # type: ignore[assignment]
            connection.execute(insert(table), [dict(zip(columns, row, strict=True)) for row in rows])
        connection.exec_driver_sql("COMMIT")


def _messages(numbers: range, api_key_id: UUID, delivered: bool) -> Iterator[Row]:
    now = datetime.now(UTC)
    reported = bit_of(Status.SENT) | bit_of(Status.DELIVERED) if delivered else 0
    status, outcome = (Status.DELIVERED, "delivered") if delivered else (Status.QUEUED, None)
    due_at, final_at = (None, now) if delivered else (now + _NOT_DUE_FOR, None)
    version = len(_HISTORY) if delivered else _QUEUED_EVENTS
    ends = (1, 0, version, reported, due_at, now, now, final_at, final_at, now)
    for number in numbers:
        text = f"Your code is {number}."
        start = (message_id_of(number), api_key_id, recipient_of(number), SENDER, text, "GSM-7", 1, "hold")
        yield (*start, status, outcome, sid_of(number), *ends)


def event_rows(numbers: range, delivered: bool) -> Iterator[Row]:
    """Return the histories of messages that are queued at Twilio, or delivered."""
    now = datetime.now(UTC)
    history = _HISTORY if delivered else _HISTORY[:_QUEUED_EVENTS]
    for number in numbers:
        message_id, sid = message_id_of(number), sid_of(number)
        for seq, (source, status, reason) in enumerate(history, 1):
            receipt_id = UUID(
                int=message_id.int >> 8 << 8 | seq
            )  # unique, and in the order of time like real ones
            at_twilio = sid if seq >= _QUEUED_EVENTS else None
            payload = _payload(sid, status, number) if source == "callback" else None
            yield message_id, seq, receipt_id, source, status, True, reason, 1, at_twilio, payload, now


def _payload(sid: str, status: str, number: int) -> dict[str, str]:
    names = {"SmsSid": sid, "SmsStatus": status, "MessageStatus": status, "To": recipient_of(number)}
    return names | {"MessageSid": sid, "AccountSid": ACCOUNT_SID, "From": SENDER, "ApiVersion": "2010-04-01"}


def blocks(rows: Iterable[Row], size: int) -> Iterator[str]:
    """Return the rows in COPY's text format, so many at a time."""
    block: list[str] = []
    for row in rows:
        block.append("\t".join(map(_text, row)) + "\n")
        if len(block) == size:
            yield "".join(block)
            block.clear()
    if block:
        yield "".join(block)


def copy_blocks(
    connection: psycopg.Connection[Any], table: str, columns: Sequence[str], texts: Iterable[str]
) -> None:
    """Append the rows to a table by one COPY; the caller commits."""
    names = ", ".join(f'"{column}"' for column in columns)
    with connection.cursor() as cursor, cursor.copy(f"COPY {table} ({names}) FROM STDIN") as copy:
        for text in texts:
            copy.write(text)


def _text(value: object) -> str:
    """Return a value in COPY's text format; none of ours holds a tab, a newline or a backslash."""
    if value is None:
        return r"\N"
    return orjson.dumps(value).decode() if isinstance(value, dict) else str(value)
