"""Keyset pagination: each page starts after the last key of the previous one, so that new rows shift nothing."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list, in its order; `has_more` says whether another page follows."""

    items: Sequence[T]
    has_more: bool

    def __iter__(self) -> Iterator[T]:
        """Yield the items."""
        return iter(self.items)


def page_after(
    session: Session, query: Select[T], key: InstrumentedAttribute[Any], *, after: Any, limit: int
) -> Page[T]:
    """Return up to `limit` rows with keys above `after`, in ascending order; None starts from the first."""
    following = query if after is None else query.where(key > after)
    return _read(session, following.order_by(key), limit)


def page_before(
    session: Session, query: Select[T], key: InstrumentedAttribute[Any], *, before: Any, limit: int
) -> Page[T]:
    """Return up to `limit` rows with keys below `before`, in descending order; None starts from the last."""
    preceding = query if before is None else query.where(key < before)
    return _read(session, preceding.order_by(key.desc()), limit)


def _read(session: Session, query: Select[T], limit: int) -> Page[T]:
    rows = session.scalars(query.limit(limit + 1)).all()  # one extra row shows whether there are more
    return Page(rows[:limit], has_more=len(rows) > limit)
