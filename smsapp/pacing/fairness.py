"""Fair sharing when more messages wait than there is room for: each API key in turn, within each sender's pace."""

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from smsapp.queue.lanes import Lane


@dataclass(frozen=True, slots=True, order=True)
class MessageQueue:
    """The messages of one lane with the same sender and the same API key."""

    sender: str
    api_key_id: UUID


@dataclass(frozen=True, slots=True)
class Share:
    """How many messages of a queue may be claimed now."""

    queue: MessageQueue
    count: int


def deal(queues: Sequence[MessageQueue], free: int, room: Mapping[str, int]) -> list[Share]:
    """Divide `free` places among the queues: one to each API key in turn, and among a key's senders in turn.

    `room` says how many messages each paced sender may submit now; a sender that it does not name is not paced. So ten
    thousand messages of one key take as many places as ten of another, until those ten are gone. Keys are served in the
    order of `queues`: a caller that has fewer places than keys must rotate them between calls (`rotate`).
    """
    left = dict(room)
    rings: dict[UUID, deque[MessageQueue]] = {}
    for queue in queues:
        rings.setdefault(queue.api_key_id, deque()).append(queue)
    dealt: dict[MessageQueue, int] = {}
    while free and rings:
        for key in list(rings)[:free]:
            turn = _next(rings[key], left)
            if turn is None:
                del rings[key]
                continue
            dealt[turn] = dealt.get(turn, 0) + 1
            if turn.sender in left:
                left[turn.sender] -= 1
            free -= 1
    return [Share(queue, count) for queue, count in dealt.items()]


def rotate(queues: Sequence[MessageQueue], last: UUID | None) -> list[MessageQueue]:
    """Return the queues by API key, beginning with the key that comes after the last one served."""
    ordered = sorted(queues, key=lambda queue: (queue.api_key_id, queue.sender))
    if last is None:
        return ordered
    return [q for q in ordered if q.api_key_id > last] + [q for q in ordered if q.api_key_id <= last]


def ahead_of(backlog: Mapping[tuple[Lane, UUID], int], lane: Lane, key: UUID) -> int:
    """Return roughly how many segments a sender submits before the next message of a key in a lane.

    `backlog` has the waiting segments by lane and key, in this lane and the higher ones. Within the lane keys take
    turns, so another key gets hardly more segments in first than this key has waiting.
    """
    own = backlog.get((lane, key), 0)
    return sum(min(count, own + 1) if at == lane else count for (at, _), count in backlog.items())


def _next(ring: deque[MessageQueue], left: Mapping[str, int]) -> MessageQueue | None:
    """Return a key's next queue whose sender has room, and rotate it to the end; None when there is none."""
    for _ in range(len(ring)):
        queue = ring.popleft()
        if left.get(queue.sender, 1) > 0:
            ring.append(queue)
            return queue
    return None
