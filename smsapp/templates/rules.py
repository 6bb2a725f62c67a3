"""Texts with named placeholders, such as `Your order {{number}} is on its way`."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from smsapp.content.segments import MAX_BODY_CHARS
from smsapp.text import is_blank, normalize_name

MAX_NAME_CHARS = 64

TEMPLATE_FAULTS = MappingProxyType(
    {
        "lone_braces": "Two braces begin or end a placeholder, such as {{name}}; some here do neither.",
        "bad_placeholder": "A placeholder's name has 1 to 64 letters, digits, underscores, spaces, dots or hyphens.",
    }
)
"""What is wrong with a malformed template, by the reason of `MalformedTemplate`."""

MISSING_VALUE = "missing_value"
REPEATED_NAME = "repeated"
TEXT_TOO_LONG = "text_too_long"
FILLING_FAULTS = MappingProxyType(
    {
        MISSING_VALUE: "Has no value.",
        REPEATED_NAME: "Two names look the same.",
        TEXT_TOO_LONG: f"The text is longer than {MAX_BODY_CHARS} characters.",
    }
)
"""Why a template cannot be filled with the given values."""

_BRACES = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_NAME = re.compile(rf"\w[\w .-]{{0,{MAX_NAME_CHARS - 1}}}")


class MalformedTemplate(ValueError):
    """The text is not a valid template; `reason` is a machine-readable code."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class MissingValue(ValueError):
    """Placeholders have no value, or a blank one; `names` lists each once."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.names = names


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed template: the texts between the placeholders, and the placeholders' names in order of appearance."""

    texts: tuple[str, ...]  # one more than names
    names: tuple[str, ...]  # with repetitions

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Return each name once."""
        return tuple(dict.fromkeys(self.names))

    def render(self, values: Mapping[str, str]) -> str:
        """Return the text with every placeholder replaced; placeholders within values are not expanded.

        Raises:
            MissingValue: placeholders have no value, or a blank one: a text with a gap must not be sent.
        """
        if missing := [name for name in self.placeholders if is_blank(values.get(name, ""))]:
            raise MissingValue(*missing)
        parts = [self.texts[0]]
        for name, text in zip(self.names, self.texts[1:], strict=True):
            parts += (values[name], text)
        return "".join(parts)


def parse_template(text: str) -> Template:
    """Parse a template.

    A name begins with a letter, digit or underscore, and has at most 64 characters, which may include spaces, dots and
    hyphens; `smsapp.text` says how names are compared. Two braces always begin a placeholder: an unmatched `{{` is
    treated as a mistake.

    Raises:
        MalformedTemplate: `bad_placeholder`, or `lone_braces`.
    """
    pieces = _BRACES.split(text)
    texts, names = pieces[::2], [normalize_name(name) for name in pieces[1::2]]
    if any("{{" in piece or "}}" in piece for piece in texts):
        raise MalformedTemplate("lone_braces")
    if not all(_NAME.fullmatch(name) for name in names):
        raise MalformedTemplate("bad_placeholder")
    return Template(tuple(texts), tuple(names))
