"""Recognize our text in what Twilio lists: it may have prefixed, trimmed, re-encoded or written the body itself."""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from smsapp.content.rules import CONTENT_SID
from smsapp.text import normalize
from smsapp.twilio.smart_encoding import SMART_ENCODING

_TRIAL_PREFIX = "Sent from your Twilio trial account -"
"""What Twilio puts before each body of a trial account."""

_LOOKALIKES = {
    "'": "\u2018\u2019\u201a\u201b\u2032\u2035\u2039\u203a\u02b9\u02bc\u02c8\u275b\u275c\u00b4\u0060",
    '"': "\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u2036\u02ba\u02ee\u275d\u275e\u301d\u301e",
    "-": "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u2043\ufe58\ufe63",
    "/": "\u2044\u2215\u29f8\u00f7",
    "*": "\u2022\u2217\u204e\u22c6",
    "<": "\u2329\u3008",
    ">": "\u232a\u3009",
    "~": "\u223c\u02dc",
    "!": "\u01c3",
}
_TO_ASCII = str.maketrans({each: plain for plain, others in _LOOKALIKES.items() for each in others})
"""Look-alikes besides those of Smart Encoding. Its list is Twilio's to change, so we compare texts with all look-alikes
made equal, on both sides."""

_SPACES = re.compile(r"\s+")


_LINK = re.compile(r"https?://\S+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Sought:
    """What a message of ours looks like in Twilio's list. A Content template's text is not known: `body` is None."""

    body: str | None
    has_media: bool = False
    shortens: bool = False

    @classmethod
    def of(cls, body: str, media_urls: list[str] | None, options: Mapping[str, Any] | None) -> "Sought":
        """Return what a message with this content looks like."""
        if not options:
            return cls(body, bool(media_urls))
        unknown = bool(options.get(CONTENT_SID))
        return cls(None if unknown else body, bool(media_urls), bool(options.get("shorten_urls")))

    def is_exactly(self, body: str | None) -> bool:
        """Return whether a body is ours, unchanged."""
        return bool(self.body) and self.body == body

    def is_like(self, body: str | None, num_media: int) -> bool:
        """Return whether Twilio may have made a message with this body of ours.

        Media without a text are like any media without a text. Any text may be that of a Content template, which is why
        those are looked for last.
        """
        if self.body is None:
            return bool(body or num_media)
        if not self.body:
            return not body and num_media > 0 and self.has_media
        return body is not None and (
            _folded(body, shortens=self.shortens) == _folded(self.body, shortens=self.shortens)
        )

    def may_be(self, body: str | None, num_media: int) -> bool:
        """Return whether a message with this body may be ours; a redacted one may be anything."""
        return not body or self.is_like(body, num_media)

    def competes_with(self, other: "Sought") -> bool:
        """Return whether one message at Twilio may be either of the two."""
        if self.body is None or other.body is None:
            return True
        shortens = self.shortens or other.shortens
        return _folded(self.body, shortens=shortens) == _folded(other.body, shortens=shortens)


def _folded(body: str, *, shortens: bool) -> str:
    return fold_body(_LINK.sub("http:", body) if shortens else body)


def fold_body(body: str) -> str:
    """Return a body without what Twilio may change in it; two that differ in more are two texts."""
    plain = normalize(body.translate(SMART_ENCODING))
    plain = unicodedata.normalize("NFKC", plain).translate(_TO_ASCII)
    plain = _SPACES.sub(" ", plain).strip()
    return plain.removeprefix(_TRIAL_PREFIX).strip()
