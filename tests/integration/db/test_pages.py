"""Lists in pages: each row once and in order, whatever is added while somebody reads, and no empty page at the end."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db.pages import Page, page_after, page_before
from smsapp.keys.models import DEFAULT_APPLICATION
from smsapp.templates import queries as templates
from smsapp.templates.models import Template

NOW = datetime(2026, 11, 20, tzinfo=UTC)

Read = Callable[[Session, str | None], Page[Template]]


def forwards(session: Session, cursor: str | None) -> Page[Template]:
    return page_after(session, select(Template), Template.name, after=cursor, limit=2)


def backwards(session: Session, cursor: str | None) -> Page[Template]:
    return page_before(session, select(Template), Template.name, before=cursor, limit=2)


def add(sessions: sessionmaker[Session], *names: str) -> None:
    with sessions.begin() as session:
        for name in names:
            templates.add(session, DEFAULT_APPLICATION, name, "hello", now=NOW)


def walk(sessions: sessionmaker[Session], read: Read, between: Callable[[], None]) -> list[list[str]]:
    """Read all pages, doing something after each."""
    pages: list[list[str]] = []
    more, cursor = True, None
    while more:
        with sessions() as session:
            page = read(session, cursor)
        pages.append([template.name for template in page])
        cursor, more = pages[-1][-1] if pages[-1] else None, page.has_more
        between()
    return pages


@pytest.mark.parametrize(
    ("read", "expected"),
    [(forwards, [["a", "b"], ["c", "d"]]), (backwards, [["d", "c"], ["b", "a"]])],
    ids=["forwards", "backwards"],
)
def test_full_pages_end_without_an_empty_one(
    sessions: sessionmaker[Session], read: Read, expected: list[list[str]]
) -> None:
    add(sessions, "a", "b", "c", "d")

    assert walk(sessions, read, lambda: None) == expected


def test_rows_that_are_added_behind_the_reader_move_nothing(sessions: sessionmaker[Session]) -> None:
    add(sessions, "m", "n", "o", "p", "q")
    names = iter(["a", "b", "c"])

    pages = walk(sessions, forwards, lambda: add(sessions, next(names)))

    assert pages == [["m", "n"], ["o", "p"], ["q"]]


def test_a_list_without_rows_is_one_empty_page(sessions: sessionmaker[Session]) -> None:
    assert walk(sessions, forwards, lambda: None) == [[]]
