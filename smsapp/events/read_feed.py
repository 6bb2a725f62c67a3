"""Give consumers the feed in pages: every event once, in order, however far behind they are."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.events.payload import render_event
from smsapp.runtime import Runtime

_SEARCHED = 10_000
"""How many numbers one page covers at most: a filter that matches nothing must not read the whole feed at once."""


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Which events a consumer wants: of these types, about messages with one of these tags; None for any."""

    limit: int
    types: Collection[str] | None = None
    tags: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """Some events. `next_after` is where the next page begins, also after a page without any; `latest` is the end."""

    events: list[dict[str, Any]]
    next_after: int
    latest: int

    @property
    def has_more(self) -> bool:
        """Whether there is more to read already."""
        return self.next_after < self.latest


@dataclass(slots=True)
class CursorExpiredError(Exception):
    """Events after the cursor are not kept any more. `oldest` is the cursor before the oldest one that is."""

    oldest: int


@dataclass(slots=True)
class CursorUnknownError(Exception):
    """No event has this number yet: it comes from another feed, or from after the backup that was restored."""


def read_feed(rt: Runtime, after: int | None, wanted: FeedFilter) -> FeedPage:
    """Return the events after a number, or the oldest ones.

    Raises:
        CursorExpiredError: some of them are gone.
        CursorUnknownError: the number was not given yet.
    """
    with reading(rt.sessions) as session:
        latest = feed.latest(session)  # before the events, so that all up to here are seen
        begin = _before(feed.oldest(session), latest) if after is None else after
        if begin > latest:
            raise CursorUnknownError
        until = min(latest, begin + _SEARCHED)
        found = feed.between(
            session, after=begin, until=until, limit=wanted.limit, types=wanted.types, tags=wanted.tags
        )
        # After the events: what was removed before or between is noticed.
        kept_after = _before(feed.oldest(session), latest)
    if after is not None and after < kept_after:
        raise CursorExpiredError(kept_after)
    full = len(found) == wanted.limit
    return FeedPage([render_event(event) for event in found], found[-1].seq if full else until, latest)


def _before(oldest: int | None, latest: int) -> int:
    return latest if oldest is None else oldest - 1
