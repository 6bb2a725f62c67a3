"""Recognize our text in what Twilio lists: it may have prefixed, trimmed or re-encoded the body."""

import re
import unicodedata

from smsapp.text import normalize

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
"""Smart Encoding replaces characters by look-alikes of GSM-7 (https://www.twilio.com/docs/messaging/services); the list
is Twilio's to change, so we compare texts with all look-alikes made equal, on both sides."""

_SPACES = re.compile(r"\s+")


def fold_body(body: str) -> str:
    """Return a body without what Twilio may change in it; two that differ in more are two texts."""
    plain = unicodedata.normalize("NFKC", normalize(body)).translate(_TO_ASCII)
    plain = _SPACES.sub(" ", plain).strip()
    return plain.removeprefix(_TRIAL_PREFIX).strip()
