"""How fast each sender may hand messages over, in segments per second, and how the shared clock of a sender runs.

Carriers throttle by sender. What comes faster waits in Twilio's queue for up to ten hours, where it can neither be
overtaken by a code nor be called back, and beyond that is refused (21611) or lost (30001). Source of the figures:
https://help.twilio.com/articles/115002943027 (understanding Twilio rate limits and message queues).
"""

from dataclasses import dataclass

from smsapp.queue.lanes import Lane

_AHEAD_US = 70_000
"""How far ahead of its pace any lane may take a sender: a little more than the time between two looks of a drain."""

MOST_AHEAD_US = 160_000
"""How far ahead the highest lane may take it, so that any five seconds exceed the pace by 3 % and one message."""


def tolerance_us(lane: Lane, rate: float) -> int:
    """Return how far ahead of its pace a lane may take a sender, in microseconds.

    Codes may go one segment further than campaigns, so behind a campaign there is room for one, down to about ten
    segments per second; normal texts half of that.
    """
    room = min(1_000_000 / rate, MOST_AHEAD_US - _AHEAD_US)
    return _AHEAD_US + round(room * (Lane.BULK - lane) / 2)


@dataclass(frozen=True, slots=True)
class Grant:
    """What a sender may hand over now, and its clock afterwards: the time at which it has caught up."""

    segments: int
    caught_up_us: int


def grant(caught_up_us: int, *, now_us: int, rate: float, tolerance_us: int, head: int, want: int) -> Grant:
    """Return how many segments may go now: the generic cell rate algorithm, for whole messages.

    `head` is the size of the next message in segments: it may go as soon as the sender has caught up, however large it
    is, and the clock then runs that much ahead. Redis runs the same in `smsapp/pacer.lua`.
    """
    if caught_up_us > now_us + tolerance_us:
        return Grant(0, caught_up_us)
    base = max(caught_up_us, now_us)
    room = int((now_us + tolerance_us - base) * rate / 1_000_000)
    segments = min((room // head + 1) * head, max(head, want))
    return Grant(segments, base + round(segments * 1_000_000 / rate))
