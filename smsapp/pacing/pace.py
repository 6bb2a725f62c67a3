"""How fast each sender may hand messages over, in segments per second, and how far lanes may get ahead of it.

Carriers throttle by sender. What comes faster waits in Twilio's queue for up to ten hours, where it can neither be
overtaken by a code nor be called back, and beyond that is refused (21611) or lost (30001). Source of the figures:
https://help.twilio.com/articles/115002943027 (understanding Twilio rate limits and message queues).
"""

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
