"""Normalize text that people typed before it is compared, so that what looks the same is the same.

Word processors, spreadsheets and phones insert no-break spaces, byte order marks, zero-width characters and letters in
composed or decomposed form. Nobody sees these, and nobody can fix what they cannot see.
"""

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
