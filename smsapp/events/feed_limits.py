"""How much one reader of the feed may read at once, how long it may wait, and how many may wait."""

from smsapp.config import Settings
from smsapp.events.read_feed import STRETCH
from smsapp.news.places import Places


class FeedLimits:
    """The limits of this process."""

    def __init__(self, settings: Settings) -> None:
        self.stretch = STRETCH
        self.heartbeat_s = 15.0
        """How long a stream may be silent."""
        self.longest_stream_s = 300.0
        """Then the reader connects again, with its key: a stream outlives no revoked key for longer."""
        self.places = Places(
            "events", most=settings.max_event_streams, most_per_key=settings.max_waits_per_key
        )
