"""Tables that tests print at the end of the run; parallel workers pass them on in pytest's reports."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

_TITLE = "table: "


def print_at_the_end(record_property: Callable[[str, object], None], title: str, table: str) -> None:
    """Have a table printed when all tests are over."""
    record_property(_TITLE + title, table)


def tables(reports: Iterable[Any]) -> Iterator[tuple[str, str]]:
    """Return title and text of each table in pytest's reports."""
    for report in reports:
        for name, value in getattr(report, "user_properties", ()):
            if name.startswith(_TITLE):
                yield name.removeprefix(_TITLE), value
