"""What a message consists of, and what may not stand together.

A message is a text, media, both, or a Content template of Twilio's with its variables; options say how Twilio is to
treat it. Requests, jobs, previews, attempts, answers and redaction all ask here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

from smsapp.content.segments import MAX_BODY_CHARS, Encoding, Measure, measure
from smsapp.recipients.phone import WHATSAPP
from smsapp.text import is_blank
from smsapp.twilio.smart_encoding import SMART_ENCODING

Options = dict[str, Any]
"""The options that a request names, by the names that Twilio's clients give them, as they are stored; never empty."""

CONTENT_SID = "content_sid"
CONTENT_VARIABLES = "content_variables"
OPTION_NAMES = (
    CONTENT_SID,
    CONTENT_VARIABLES,
    "smart_encoded",
    "shorten_urls",
    "send_as_mms",
    "risk_check",
)
NO_OPTIONS: Mapping[str, None] = MappingProxyType(dict.fromkeys(OPTION_NAMES))
"""The options of a message that has none, as callers see them."""

_REMOVED = "removed"
"""Marks stored options of a message whose personal data were removed: what is left of it is not to be sent."""

SID_PATTERN = r"^HX[0-9a-fA-F]{32}$"
NAME_PATTERN = r"^[A-Za-z0-9_.-]{1,64}$"
MAX_VARIABLES = 100
"""Source: https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder"""
MAX_VALUE_CHARS = 1600
"""Source: https://www.twilio.com/docs/api/errors/21658"""

_UNFIT = re.compile(r"[\n\r\t]| {5}")

_SOURCES = ("body", "media_urls", CONTENT_SID, "template")
_OF = MappingProxyType({"template_version": "template", "values": "template", CONTENT_VARIABLES: CONTENT_SID})
"""Members that belong to another one. Variables without a template: https://www.twilio.com/docs/api/errors/21654"""
_NOT_BESIDE = MappingProxyType(
    {CONTENT_SID: ("template",), "media_urls": (CONTENT_SID,), "body": ("template", CONTENT_SID)}
)
"""Members that may not stand beside others, which are read before them.

A Content template has text and media of its own; Twilio asks to leave both out:
https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder
"""


@dataclass(frozen=True, slots=True)
class ContentFault:
    """A member of a request that does not go with the rest of it."""

    field: str
    code: str
    sentence: str


@dataclass(frozen=True, slots=True)
class Content:
    """What one message consists of; `compose` makes one. `measure` is of the text as Twilio will encode it."""

    body: str
    measure: Measure
    media_urls: list[str] | None = None
    options: Options | None = None

    @property
    def content_sid(self) -> str | None:
        """The Content template, whose text only Twilio knows."""
        return self.options.get(CONTENT_SID) if self.options else None


def compose(body: str, media_urls: list[str] | None = None, options: Options | None = None) -> Content:
    """Return the content with its measure. Each of several parts may be empty, but not all."""
    encoded = smart_encode(body) if options and options.get("smart_encoded") else body
    measured = measure(encoded)
    if media_urls or (options and options.get("send_as_mms")):
        measured = _as_mms(measured, len(body))
    return Content(body, measured, media_urls, options)


def smart_encode(body: str) -> str:
    """Return the text as Twilio sends it with Smart Encoding: in GSM-7, if all of it can be, else unchanged.

    Source: https://www.twilio.com/docs/messaging/services#smart-encoding (no transliteration of a text with an emoji or
    in a script that GSM-7 does not have).
    """
    encoded = body.translate(SMART_ENCODING)
    return encoded if measure(encoded).encoding is Encoding.GSM_7 else body


def conflict(field: str, given: Mapping[str, Any]) -> str | None:
    """Return why a member of a request may not stand with those `given` before it, None when it may.

    A member that is faulty itself is not in `given`, and conflicts with nothing.
    """
    owner = _OF.get(field)
    if owner and given.get(owner, "") is None:
        return f"is for a {owner}, and there is none"
    for other in _NOT_BESIDE.get(field, ()):
        if given.get(other) is not None:
            return f"may not stand beside {other}; give one of them"
    return None


def is_missing(given: Mapping[str, Any]) -> bool:
    """Return whether a request without a text has nothing else to send, as far as its other members are well-formed."""
    return all(given.get(source, "") is None for source in _SOURCES if source != "body")


def value_fault(value: str) -> str | None:
    """Return why Twilio would refuse a variable's value, None when it would not.

    Source: https://www.twilio.com/docs/api/errors/21656 and 21658.
    """
    if is_blank(value):
        return "must have a value that can be seen"
    if _UNFIT.search(value):
        return "must not contain a line break, a tab, or more than four spaces in a row"
    return "must not be longer than 1600" if len(value) > MAX_VALUE_CHARS else None


def route_fault(
    options: Options | None, sender: str | None, service: str | None, to: str
) -> ContentFault | None:
    """Return which option cannot be met between this sender and this recipient (`to` may be blank: any number).

    Source: https://www.twilio.com/docs/messaging/features/link-shortening (only with a Messaging Service).
    """
    if not options:
        return None
    if options.get("shorten_urls") and not service:
        return ContentFault("shorten_urls", "invalid", "Needs a Messaging Service to send it with.")
    if options.get("send_as_mms") and (to.startswith(WHATSAPP) or (sender or "").startswith(WHATSAPP)):
        return ContentFault("send_as_mms", "invalid", "What goes out on WhatsApp is no MMS.")
    return None


def is_removed(body: str, media_urls: list[str] | None, options: Options | None) -> bool:
    """Return whether the personal data of a stored message were removed, so that there is nothing left to send."""
    if options and _REMOVED in options:
        return True
    return not (body or media_urls or (options and CONTENT_SID in options))


def removed(media_urls: list[str] | None, options: Options | None) -> Options | None:
    """Return the options to store with the empty body of a message whose personal data are removed."""
    if not (media_urls or options):
        return None  # an empty body says it all
    return (without_variables(options) or {}) | {_REMOVED: True}


def without_variables(options: Options | None) -> Options | None:
    """Return the options without personal data; None for none."""
    return {name: value for name, value in (options or {}).items() if name != CONTENT_VARIABLES} or None


def shown_options(options: Options | None, *, sensitive: bool) -> Mapping[str, Any]:
    """Return every option as callers see it, null where it was not given; a sensitive message shows no variables."""
    if not options:
        return NO_OPTIONS
    shown = {name: options.get(name) for name in OPTION_NAMES}
    return shown | {CONTENT_VARIABLES: None} if sensitive else shown


def _as_mms(measured: Measure, chars: int) -> Measure:
    """Return the measure of a text that goes out as one MMS, however long it is.

    Source: `SendAsMms` in https://www.twilio.com/docs/messaging/api/message-resource.
    """
    left = max(MAX_BODY_CHARS - chars, 0)
    return replace(measured, segments=1, splits=(), units_per_segment=MAX_BODY_CHARS, remaining=left)
