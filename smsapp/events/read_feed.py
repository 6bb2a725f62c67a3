"""Serve the feed to consumers in pages: every event once, in order, however far behind they are."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.events.payload import render_event
from smsapp.runtime import Runtime

STRETCH = 10_000
"""The most numbers that one page covers: a filter that matches nothing must not read the whole feed at once."""


@dataclass(frozen=True, slots=True)
class FeedFilter:
    """Which events a consumer wants: those for its application, of these types, about messages with one of these tags.

    None stands for any type, and for any tag or none.
    """

    application_id: UUID
    limit: int
    types: Collection[str] | None = None
    tags: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A page of events. `next_after` is where the next page begins, even after an empty one; `latest` is the end."""

    events: list[dict[str, Any]]
    next_after: int
    latest: int

    @property
    def has_more(self) -> bool:
        """Whether more events can be read now."""
        return self.next_after < self.latest


@dataclass(slots=True)
class CursorExpiredError(Exception):
    """Events after the cursor were removed. `oldest` is the cursor just before the oldest stored event."""

    oldest: int


@dataclass(slots=True)
class CursorUnknownError(Exception):
    """No event has this number yet: it comes from another feed, or from after the backup that was restored."""


def read_feed(rt: Runtime, after: int | None, wanted: FeedFilter, *, stretch: int = STRETCH) -> FeedPage:
    """Return the events after a number, or the oldest ones if it is None, out of the next `stretch` numbers.

    Raises:
        CursorExpiredError: some of these events were removed.
        CursorUnknownError: no event has this number yet.
    """
    with reading(rt.sessions) as session:
        latest = feed.latest(session)  # before the events, so that all up to here are visible
        begin = _before(feed.oldest(session), latest) if after is None else after
        if begin > latest:
            raise CursorUnknownError
        until = min(latest, begin + stretch)
        found = feed.between(
            session,
            wanted.application_id,
            after=begin,
            until=until,
            limit=wanted.limit,
            types=wanted.types,
            tags=wanted.tags,
        )
        # Read after the events, so that a removal before or in between is noticed.
        kept_after = _before(feed.oldest(session), latest)
    if after is not None and after < kept_after:
        raise CursorExpiredError(kept_after)
    full = len(found) == wanted.limit
    return FeedPage([render_event(event) for event in found], found[-1].seq if full else until, latest)


def _before(oldest: int | None, latest: int) -> int:
    return latest if oldest is None else oldest - 1
