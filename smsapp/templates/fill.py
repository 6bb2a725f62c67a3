"""Fill stored templates of an application, `owner`, and point at the request field that is at fault."""

from collections.abc import Mapping
from uuid import UUID

from smsapp.content.segments import MAX_BODY_CHARS
from smsapp.runtime import Runtime
from smsapp.templates.keep import TemplateNotFoundError, find_template
from smsapp.templates.models import TemplateVersion
from smsapp.templates.rules import (
    FILLING_FAULTS,
    MISSING_VALUE,
    REPEATED_NAME,
    TEXT_TOO_LONG,
    MissingValue,
    parse_template,
)
from smsapp.text import normalize_name
from smsapp.web.problems import Fault, invalid_request


def stored_text(rt: Runtime, owner: UUID, name: str, version: int | None, pointer: str) -> TemplateVersion:
    """Return the text of a version of a template, the newest by default.

    Raises:
        ProblemError: there is no such template or version.
    """
    try:
        return find_template(rt, owner, name, version)
    except TemplateNotFoundError:
        detail = "There is no such template, or no such version of it."
        raise invalid_request(Fault(pointer, "unknown", detail)) from None


def filled_text(rt: Runtime, owner: UUID, name: str, version: int | None, values: Mapping[str, str]) -> str:
    """Return the text from a request's `template`, `template_version` and `values`.

    Raises:
        ProblemError: there is no such template, values are missing, or the text is too long with them.
    """
    template = parse_template(stored_text(rt, owner, name, version, "/template").body)
    named = {normalize_name(each): value for each, value in values.items()}
    if len(named) < len(values):
        raise invalid_request(_fault("/values", REPEATED_NAME))
    try:
        text = template.render(named)
    except MissingValue as error:
        raise invalid_request(*(_fault(f"/values/{each}", MISSING_VALUE) for each in error.names)) from None
    if len(text) > MAX_BODY_CHARS:
        raise invalid_request(_fault("/values", TEXT_TOO_LONG))
    return text


def _fault(pointer: str, code: str) -> Fault:
    return Fault(pointer, code, FILLING_FAULTS[code])
