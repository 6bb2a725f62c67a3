"""CSV as spreadsheets write it: any of three delimiters, quotes, line breaks in cells, a byte order mark."""

import codecs
import csv
from collections.abc import Iterator
from io import TextIOWrapper
from typing import IO

from smsapp.uploads.rows import MAX_CELL_CHARS, RawRow, UnreadableUpload

CHARSETS = ("utf-8", "utf-16", "windows-1252", "iso-8859-1")
"""UTF-8 unless another is named: a guess that is wrong would be sent to people's phones."""

DELIMITERS = ",;\t"

_MAX_LINE_CHARS = 65_536
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


class CsvRows:
    """Rows of a CSV file, one at a time; at most a block and a line of it are in memory."""

    def __init__(self, file: IO[bytes], *, charset: str = "utf-8", required: str = "to") -> None:
        """Read the header; `required` is the column that it must have.

        Raises:
            UnreadableUpload: no header, not that column in it, a name twice, or an unknown character set.
        """
        self._file = file
        self._text = _opened(file, charset)
        self._lines = _Lines(self._text)
        header_line = next((line for line in self._lines if line.strip()), "")
        self._reader = csv.reader(self._lines, delimiter=_delimiter(header_line), strict=True)
        self.columns = _columns(header_line, _delimiter(header_line), required)

    def __iter__(self) -> Iterator[RawRow]:
        """Yield rows; one that does not fit the header is a fault of its own.

        Raises:
            UnreadableUpload: the file ends inside quotes, or is not in its character set.
        """
        while True:
            line = self._lines.count + 1
            try:
                cells = next(self._reader, None)
            except csv.Error:
                raise UnreadableUpload(
                    "malformed_csv", f"A quotation mark is wrong in the row that begins on line {line}."
                ) from None
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield self._row(line, cells)

    def let_go(self) -> None:
        """Go back to the file's beginning and leave it open, for others to read; no rows can be read here any more."""
        self._text.detach()
        self._file.seek(0)

    def _row(self, line: int, cells: list[str]) -> RawRow:
        if len(cells) > len(self.columns):
            return RawRow(line, fault="too_many_cells")
        cells += [""] * (len(self.columns) - len(cells))  # spreadsheets drop empty cells at the end
        for column, cell in zip(self.columns, cells, strict=True):
            if len(cell) > MAX_CELL_CHARS:
                return RawRow(line, fault="too_long", column=column)
        return RawRow(line, dict(zip(self.columns, cells, strict=True)))


class _Lines:
    """Lines, counted; csv's own count begins after the header."""

    def __init__(self, file: TextIOWrapper) -> None:
        self.count = 0
        self._file = file

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        try:
            line = self._file.readline(_MAX_LINE_CHARS)
        except UnicodeDecodeError:
            raise UnreadableUpload(
                "wrong_charset",
                f"The file is not {self._file.encoding.upper()}; save it as UTF-8, or name its charset.",
                "Content-Type",
            ) from None
        if not line:
            raise StopIteration
        self.count += 1
        if len(line) == _MAX_LINE_CHARS:
            raise UnreadableUpload("malformed_csv", f"Line {self.count} is too long to be a row.")
        return line


def _opened(file: IO[bytes], charset: str) -> TextIOWrapper:
    if charset.lower() not in CHARSETS:
        raise UnreadableUpload("unknown_charset", f"Send one of {', '.join(CHARSETS)}.", "Content-Type")
    begin = file.read(4)
    file.seek(0)
    encoding = next((name for bom, name in _BOMS if begin.startswith(bom)), charset)
    # Line ends as they are, since csv knows them all; nothing else (U+2028, say) ends a line.
    return TextIOWrapper(file, encoding=encoding, newline="")


def _delimiter(header: str) -> str:
    """Return the delimiter that separates the most names."""
    return max(DELIMITERS, key=lambda delimiter: len(next(csv.reader([header], delimiter=delimiter), [])))


def _columns(header: str, delimiter: str, required: str) -> list[str]:
    try:
        names = [name.strip() for name in next(csv.reader([header], delimiter=delimiter, strict=True), [])]
    except csv.Error:
        raise UnreadableUpload("malformed_csv", "The first line is no list of column names.") from None
    while names and not names[-1]:
        names.pop()
    names = [required if name.lower() == required else name for name in names]
    if required not in names:
        raise UnreadableUpload(
            "missing_column", f"The first line must name the columns, `{required}` among them."
        )
    if len(set(names)) < len(names):
        raise UnreadableUpload("repeated_column", "Two columns have the same name.")
    return names
