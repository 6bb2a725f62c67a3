"""Export the suppressions in force, for another system or a backup."""

from collections.abc import Iterator, Sequence
from uuid import UUID

from smsapp.db.sessions import reading
from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.rules import EVERY_SENDER
from smsapp.times import rfc3339
from smsapp.uploads.spreadsheets import harmless

COLUMNS = ("recipient", "sender", "note", "source", "since")
_PAGE = 1000


def export_suppressions(rt: Runtime) -> Iterator[Sequence[Sequence[str]]]:
    """Yield pages of rows, each of COLUMNS; `sender` is blank for every sender.

    Each page is a short transaction of its own, so that a slow client blocks nobody.
    """
    after: UUID | None = None
    while True:
        with reading(rt.sessions) as session:
            page = suppressions.find(session, limit=_PAGE, after=after)
        yield [
            (
                harmless(row.recipient),
                "" if row.scope == EVERY_SENDER else harmless(row.scope),
                harmless(row.note or ""),
                row.source,
                rfc3339(row.since),
            )
            for row in page
        ]
        if not page.has_more:
            return
        after = page.items[-1].id
