"""How fast each sender may submit messages, in segments per second, and how far each lane may run ahead of that pace.

Carriers throttle by sender. Messages that arrive faster wait in Twilio's queue for up to ten hours, where a code cannot
overtake them and we cannot cancel them. Beyond that they are refused (21611) or lost (30001). Source of the figures:
https://help.twilio.com/articles/115002943027 (understanding Twilio rate limits and message queues).
"""

from smsapp.queue.lanes import Lane

_AHEAD_US = 70_000
"""How far any lane may run ahead of a sender's pace: a little more than the time between two looks of a drain."""

MOST_AHEAD_US = 160_000
"""How far the highest lane may run ahead, so that any five seconds exceed the pace by at most 3 % and one message."""


def tolerance_us(lane: Lane, rate: float) -> int:
    """Return how far a lane may run ahead of a sender's pace, in microseconds.

    Codes may run one segment further ahead than campaigns, so that a campaign always leaves room for one, down to about
    ten segments per second. Normal texts get half of that.
    """
    room = min(1_000_000 / rate, MOST_AHEAD_US - _AHEAD_US)
    return _AHEAD_US + round(room * (Lane.BULK - lane) / 2)
