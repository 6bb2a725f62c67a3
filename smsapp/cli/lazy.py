"""A group of commands that are imported when they are run: importing all of them takes a second of CPU time."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import click


@dataclass(frozen=True, slots=True)
class Place:
    """Where a command is, and the first sentence of its help, which the list of commands shows without importing it."""

    module: str
    help: str


class _Commands(dict[str, click.Command]):
    """The commands by name; one that is asked for is imported, an attribute of its own name in its module."""

    def __init__(self, places: Mapping[str, Place]) -> None:
        super().__init__()
        self.places = places

    def __missing__(self, name: str) -> click.Command:
        place = self.places[name]
        command = getattr(import_module(f"smsapp.cli.{place.module}"), name)
        assert isinstance(command, click.Command)
        self[name] = command
        return command

    def __contains__(self, name: object) -> bool:
        return name in self.places

    def __iter__(self) -> Iterator[str]:
        return iter(self.places)

    def get(self, name: str, default: Any = None) -> Any:
        """Return the command, or the default when there is none of this name."""
        return self[name] if name in self.places else default


class LazyGroup(click.Group):
    """A group whose help imports none of its commands."""

    def __init__(self, name: str | None = None, *, places: Mapping[str, Place], **options: Any) -> None:
        super().__init__(name, _Commands(places), **options)
        self.places = places

    def format_commands(self, _context: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands."""
        limit = formatter.width - 6 - max(map(len, self.places))
        rows = [
            (name, click.Command(name, help=place.help).get_short_help_str(limit))
            for name, place in sorted(self.places.items())
        ]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
