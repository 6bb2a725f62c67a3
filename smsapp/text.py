"""Text that people typed, brought to one form before it is compared: what looks the same is the same.

Word processors, spreadsheets and phones put in no-break spaces, byte order marks, zero-width characters and letters
composed in two ways. Nobody sees them, and nobody can mend what they cannot see.
"""

import unicodedata

_LINE_ENDS = frozenset("\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029")
_SPACES = frozenset({"Zs", "Zl", "Zp"})

_UNSEEN = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
    | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
)
"""Invisible without being of the category Cf: joiners, fillers and variation selectors.

Source: `Default_Ignorable_Code_Point` in https://www.unicode.org/Public/UCD/latest/ucd/DerivedCoreProperties.txt.
"""


def normalize(text: str) -> str:
    """Return the text as it is compared: spaces of any kind as spaces, nothing that cannot be seen, NFC, case as it is.

    Line breaks and tabs count as spaces; other control characters stay, since no one types them.
    """
    return (
        text if text.isascii() and text.isprintable() else unicodedata.normalize("NFC", text.translate(_SEEN))
    )


def normalize_name(text: str) -> str:
    """Return the name of a column or placeholder as it is compared: also with no space around it, and one between."""
    return " ".join(normalize(text).split())


class _Seen(dict[int, int | None]):
    """What a code point stands for when it is compared; only those that stand for another are kept."""

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
