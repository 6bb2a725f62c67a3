"""Normalize text that people typed before it is compared, so that what looks the same is the same.

Word processors, spreadsheets and phones insert no-break spaces, byte order marks, zero-width characters and letters in
composed or decomposed form. Nobody sees these, and nobody can fix what they cannot see.
"""

import re
import unicodedata

_LINE_ENDS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_SPACES = frozenset({"Zs", "Zl", "Zp"})

_UNSEEN = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
    | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
)
"""Invisible characters outside the category Cf: joiners, fillers and variation selectors.

Source: `Default_Ignorable_Code_Point` in https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt.
"""

_BRAILLE_BLANK = "\u2800"
"""A Braille pattern without dots: a symbol to Unicode, and empty to every reader."""

BLANK = (
    r"\u0000-\u0020\u007f-\u00a0\u00ad\u034f\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u115f\u1160\u1680"
    r"\u17b4\u17b5\u180b-\u180f\u2000-\u200f\u2028-\u202f\u205f-\u2064\u2066-\u206f\u2800\u3000\u3164\ufe00-\ufe0f"
    r"\ufeff\uffa0\ufff9-\ufffb"
)
"""What `is_blank` looks for, as the inside of a regular expression's class, for the API document; the few beyond the
BMP are left out, since not every dialect can name them."""


UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
"""What the databases cannot store: NUL, and half of a character outside the BMP."""


def normalize(text: str) -> str:
    """Return the text in the form for comparison: plain spaces, no invisible characters, NFC, case unchanged.

    Line breaks and tabs count as spaces; other control characters stay, since no one types them.
    """
    return (
        text if text.isascii() and text.isprintable() else unicodedata.normalize("NFC", text.translate(_SEEN))
    )


def normalize_name(text: str) -> str:
    """Return a column or placeholder name in the form for comparison: also stripped, and with single spaces."""
    return " ".join(normalize(text).split())


def is_blank(text: str) -> bool:
    """Return whether nobody would see anything of the text: only white space, invisible and control characters."""
    return all(not "!" <= character <= "~" and _is_unseen(character) for character in text)


def _is_unseen(character: str) -> bool:
    return (
        _SEEN[ord(character)] in {None, ord(" ")}
        or character == _BRAILLE_BLANK
        or unicodedata.category(character) == "Cc"
    )


class _Seen(dict[int, int | None]):
    """The replacement of each code point in a comparison; only code points that are replaced are cached."""

    def __missing__(self, code: int) -> int | None:
        character = chr(code)
        category = unicodedata.category(character)
        if category in _SPACES or character in _LINE_ENDS:
            self[code] = ord(" ")
        elif category == "Cf" or code in _UNSEEN:
            self[code] = None
        else:
            return code
        return self[code]


_SEEN = _Seen()
