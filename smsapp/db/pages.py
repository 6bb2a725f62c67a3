"""Lists in pages: each begins behind the key of the last item of the page before, so new rows shift nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """Some items of a list in its order; `has_more` tells whether others follow."""

    items: Sequence[T]
    has_more: bool

    def __iter__(self) -> Iterator[T]:
        """Yield the items."""
        return iter(self.items)


def page_after(
    session: Session, query: Select[T], key: InstrumentedAttribute[Any], *, after: Any, limit: int
) -> Page[T]:
    """Return up to `limit` rows with keys above `after`, in ascending order; None begins with the first."""
    following = query if after is None else query.where(key > after)
    return _read(session, following.order_by(key), limit)


def page_before(
    session: Session, query: Select[T], key: InstrumentedAttribute[Any], *, before: Any, limit: int
) -> Page[T]:
    """Return up to `limit` rows with keys below `before`, in descending order; None begins with the last."""
    preceding = query if before is None else query.where(key < before)
    return _read(session, preceding.order_by(key.desc()), limit)


def _read(session: Session, query: Select[T], limit: int) -> Page[T]:
    rows = session.scalars(query.limit(limit + 1)).all()  # one more than wanted says whether there are more
    return Page(rows[:limit], has_more=len(rows) > limit)
