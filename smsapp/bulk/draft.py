"""A request for a job whose options are well-formed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from smsapp.content.rules import CONTENT_VARIABLES, Content, Options, compose
from smsapp.templates.rules import Template


@dataclass(frozen=True, slots=True)
class RowPattern:
    """What every row of a job is filled into: a text, the variables of a Content template, or media alone.

    `options` are those of the job, with the variables as they were given.
    """

    text: Template | None = None
    variables: Mapping[str, Template] = field(default_factory=dict)
    media_urls: list[str] | None = None
    options: Options | None = None
    refused: frozenset[str] = frozenset()

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Return each placeholder's name once."""
        templates = ([self.text] if self.text else []) + list(self.variables.values())
        return tuple(dict.fromkeys(name for each in templates for name in each.names))

    def fill(self, cells: Mapping[str, str]) -> Content:
        """Return what a row with these cells sends.

        Raises:
            MissingValue: placeholders have no value, or a blank one.
        """
        variables = {name: each.render(cells) for name, each in self.variables.items()}
        body = self.text.render(cells) if self.text else ""
        return row_content(body, variables, self.media_urls, self.options)


def row_content(
    body: str, variables: dict[str, str] | None, media_urls: list[str] | None, options: Options | None
) -> Content:
    """Return what a row sends: its own text and variables, with the media and options of its job."""
    if variables:
        options = (options or {}) | {CONTENT_VARIABLES: variables}
    return compose(body, media_urls, options)


@dataclass(frozen=True, slots=True)
class JobDraft:
    """A valid request for a job; without `sender` and `messaging_service_sid` the configured sender is used."""

    api_key_id: UUID
    body: str
    pattern: RowPattern
    template_name: str | None
    template_version: int | None
    sender: str | None
    messaging_service_sid: str | None
    on_unconfirmed: str
    resend_after_failure: bool
    name: str | None = None
    tags: list[str] | None = None
    callback_url: str | None = None
    on_failure: dict[str, Any] | None = None
    sensitive: bool = False
    send_at: datetime | None = None
    deliver_by: datetime | None = None
    quiet_hours: str | None = None
    ignored_columns: Sequence[str] | None = None
    allow_duplicates: bool = False
    start: bool = False
    request_id: str | None = None
