"""Escape cells of the CSV files that we write: no spreadsheet runs them as formulas, and reading restores them.

A cell that begins with `=`, say, is a formula to a spreadsheet (https://owasp.org/www-community/attacks/CSV_Injection).
A leading apostrophe makes it text. Where the Windows list separator is a semicolon, Excel ends a cell at a semicolon
within a text, and at a tab when text is pasted. So the text after either is escaped in the same way.
"""

import re

_PARTS = re.compile(r"(?<=[;\t])")
_FORMULA = re.compile(r"'*(?:[\s\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r])")
_PHONE_NUMBER = re.compile(r"\+[0-9]+")


def harmless(text: str) -> str:
    """Return a text as a cell that is not a formula; phone numbers and most texts are unchanged."""
    if _PHONE_NUMBER.fullmatch(text) or not _is_harmful(text):
        return text
    return "'" + "".join(
        f"'{part}" if at and _FORMULA.match(part) else part for at, part in enumerate(_parts(text))
    )


def as_meant(cell: str) -> str:
    """Return the text from which `harmless` made this cell; any other cell is unchanged."""
    if not cell.startswith("'"):
        return cell
    text = "".join(
        part[1:] if at and part.startswith("'") and _FORMULA.match(part[1:]) else part
        for at, part in enumerate(_parts(cell[1:]))
    )
    return text if _is_harmful(text) else cell


def _is_harmful(text: str) -> bool:
    return any(map(_FORMULA.match, _parts(text)))


def _parts(text: str) -> list[str]:
    return _PARTS.split(text)
