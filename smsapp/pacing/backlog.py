"""Find the senders and API keys that wait in a lane, without reading the whole backlog."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import Integer, SmallInteger, String, Uuid, bindparam, column, func, select, text
from sqlalchemy.orm import Session

from smsapp.breakers import queries as breakers
from smsapp.db.base import UtcDateTime
from smsapp.messages.models import Message
from smsapp.pacing.fairness import MessageQueue
from smsapp.queue.lanes import Lane

MAX_QUEUES = 256
"""Each queue costs one index lookup. The walk resumes where it ended, so that more queues than this take turns."""

MOST_COUNTED = 20_000

START = MessageQueue("", UUID(int=0))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A queue with a due message, and the size of its oldest one in segments."""

    queue: MessageQueue
    head_segments: int


# A walk along the index from one queue to the next: the cost follows the number of queues, not of messages. Neither
# database does that for DISTINCT. The literal 'pending' lets both use the partial index. SQLite would use the index for
# only part of a row-value comparison, hence two steps: the sender's next key, else the next sender.
_HEADS = text(
    """
    WITH RECURSIVE heads (id, sender_key, api_key_id, due_at, segments, walked) AS (
        SELECT id, sender_key, api_key_id, due_at, segments, 1 FROM messages WHERE id = (
            SELECT id FROM messages WHERE status = 'pending' AND lane = :lane
            AND (sender_key, api_key_id) > (:sender, :key)
            ORDER BY sender_key, api_key_id, due_at LIMIT 1)
        UNION ALL
        SELECT m.id, m.sender_key, m.api_key_id, m.due_at, m.segments, h.walked + 1
        FROM heads h JOIN messages m ON m.id = coalesce((
            SELECT n.id FROM messages n WHERE n.status = 'pending' AND n.lane = :lane
            AND n.sender_key = h.sender_key AND n.api_key_id > h.api_key_id
            ORDER BY n.api_key_id, n.due_at LIMIT 1
        ), (
            SELECT n.id FROM messages n WHERE n.status = 'pending' AND n.lane = :lane
            AND n.sender_key > h.sender_key
            ORDER BY n.sender_key, n.api_key_id, n.due_at LIMIT 1
        ))
        WHERE h.walked < :most
    )
    SELECT sender_key, api_key_id, segments, due_at FROM heads
    """
).bindparams(bindparam("key", type_=Uuid), bindparam("lane", type_=SmallInteger))

_COLUMNS = [
    column("sender_key", String),
    column("api_key_id", Uuid),
    column("segments", Integer),
    column("due_at", UtcDateTime),
]


def waiting(
    session: Session, lane: Lane, *, now: datetime, after: MessageQueue = START
) -> tuple[list[Waiting], MessageQueue]:
    """Return queues of a lane that have a due message, and the position from which the next walk resumes.

    Queues whose sender or account is closed are left out.
    """
    closed = set(session.scalars(breakers.closed_scopes(now=now)))
    if breakers.ACCOUNT in closed:
        return [], START
    values = {"lane": int(lane), "most": MAX_QUEUES, "sender": after.sender, "key": after.api_key_id}
    rows = session.execute(_HEADS.columns(*_COLUMNS), values).all()
    found = [
        Waiting(MessageQueue(row.sender_key, row.api_key_id), row.segments)
        for row in rows
        if row.due_at is not None and row.due_at <= now and row.sender_key not in closed
    ]
    last = MessageQueue(rows[-1].sender_key, rows[-1].api_key_id) if len(rows) == MAX_QUEUES else START
    return found, last


def backlog(session: Session, sender: str, lane: Lane, *, until: datetime) -> dict[tuple[Lane, UUID], int]:
    """Return a sender's segments that are due by then, in this lane and the higher ones, by lane and API key.

    It counts at most `MOST_COUNTED` messages: beyond that the exact number matters little.
    """
    due = (
        select(Message.lane, Message.api_key_id, Message.segments)
        .where(
            text("status = 'pending'"),
            Message.lane <= lane,
            Message.sender_key == sender,
            Message.due_at <= until,
        )
        .limit(MOST_COUNTED)
        .subquery()
    )
    query = select(due.c.lane, due.c.api_key_id, func.sum(due.c.segments)).group_by(
        due.c.lane, due.c.api_key_id
    )
    return {(Lane(row.lane), row.api_key_id): int(row[2]) for row in session.execute(query)}
