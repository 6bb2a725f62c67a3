"""Stored texts with placeholders."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from smsapp_client.transport import Transport

_PATH = "/sms/templates"


@dataclass(frozen=True, slots=True)
class Template:
    """A version of a template; it never changes."""

    name: str
    version: int
    body: str
    placeholders: tuple[str, ...]
    created_at: datetime
    raw: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the version of an answer."""
        return cls(
            name=document["name"],
            version=document["version"],
            body=document["body"],
            placeholders=tuple(document["placeholders"]),
            created_at=datetime.fromisoformat(document["created_at"]),
            raw=document,
        )


class Templates:
    """`/sms/templates`. What makes something new is not repeated: `Unreachable` leaves open whether it was made."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(self, name: str, body: str) -> Template:
        """Store a text with placeholders such as `{{name}}` under a new name, and return its first version.

        Raises:
            Conflict: `template_exists`.
            InvalidRequest: the name or the text is no template's.
        """
        document = {"name": name, "body": body}
        return Template.from_document(self._transport.request("POST", _PATH, document=document, repeat=False))

    def change(self, name: str, body: str) -> Template:
        """Store new words for a template, and return them as its newest version.

        Raises:
            NotFound: there is no such template.
        """
        path = _address(name) + "/versions"
        return Template.from_document(
            self._transport.request("POST", path, document={"body": body}, repeat=False)
        )

    def get(self, name: str, *, version: int | None = None) -> Template:
        """Return a version of a template, the newest unless you say.

        Raises:
            NotFound: there is none.
        """
        return Template.from_document(
            self._transport.request("GET", _address(name), query={"version": version})
        )

    def all(self, *, page_size: int = 100) -> Iterator[Template]:
        """Go through the newest versions of all templates, by name."""
        yield from map(Template.from_document, self._transport.pages(_PATH, {"limit": page_size}))

    def versions(self, name: str, *, page_size: int = 100) -> Iterator[Template]:
        """Go through all versions of a template, newest first.

        Raises:
            NotFound: there is no such template.
        """
        path = _address(name) + "/versions"
        yield from map(Template.from_document, self._transport.pages(path, {"limit": page_size}))

    def delete(self, name: str) -> None:
        """Remove a template with all its versions.

        Raises:
            NotFound: there is none, perhaps since a deletion whose answer was lost.
        """
        self._transport.request("DELETE", _address(name))


def _address(name: str) -> str:
    return f"{_PATH}/{quote(name, safe='')}"
