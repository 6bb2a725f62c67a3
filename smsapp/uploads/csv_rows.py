"""Read CSV as spreadsheets and people write it: `sep=` lines, line breaks in cells, blank columns, any BOM."""

import codecs
import csv
import re
from collections import deque
from collections.abc import Collection, Iterator, Sequence
from io import TextIOWrapper
from typing import IO

from smsapp.text import UNSTORABLE, normalize, normalize_name
from smsapp.uploads.rows import MAX_CELL_CHARS, MAX_COLUMNS, RawRow, UnreadableUpload
from smsapp.uploads.spreadsheets import as_meant

CHARSETS = ("utf-8", "utf-16", "utf-16le", "utf-16be", "windows-1252", "iso-8859-1")
"""UTF-8 unless the caller names another: a wrong guess would be sent to people's phones."""

DELIMITERS = ",;\t"

MAX_ROW_CHARS = MAX_COLUMNS * (MAX_CELL_CHARS + len('"",'))
csv.field_size_limit(MAX_ROW_CHARS)  # else a cell above 128 KiB looks like a wrong quotation mark
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_NUL = b"\0"

_SEP = re.compile(r"\"?sep=([^\w\s\"]|\t)\"?[,;|\t]*[\r\n]*", re.IGNORECASE)
"""Excel's own convention: the first line may name the delimiter."""


class CsvRows:
    """Yields the rows of a CSV file one at a time, in linear time; at most one block and one row are in memory."""

    def __init__(
        self,
        file: IO[bytes],
        *,
        charset: str = "utf-8",
        required: str = "to",
        exported: Collection[str] = (),
    ) -> None:
        """Read the header; `required` names the column that it must have.

        In the columns `exported`, our own exports escape formulas; reading undoes that.

        Raises:
            UnreadableUpload: no header, the required column missing, a duplicate name, too many columns, or an unknown
                character set.
        """
        self._file = file
        self._exported = frozenset(exported)
        self._text = _opened(file, charset)
        self._lines = _Lines(self._text)
        delimiter, header = self._read_header(required)
        self._names = _names(header, required)
        self.columns = [name for name in self._names if name]
        self._reader = csv.reader(self._lines, delimiter=delimiter, strict=True)

    def __iter__(self) -> Iterator[RawRow]:
        """Yield rows; a row that does not fit the header carries a fault.

        Raises:
            UnreadableUpload: the file ends inside quotes, or is not in its character set.
        """
        while True:
            line = self._lines.begin_row()
            try:
                cells = next(self._reader, None)
            except csv.Error:
                raise UnreadableUpload(
                    "malformed_csv", f"A quotation mark is wrong in the row that begins on line {line}."
                ) from None
            if cells is None:
                return
            if not all(map(_is_blank, cells)):
                yield self._row(line, cells)

    def let_go(self) -> None:
        """Rewind the file and leave it open for other readers; this object can read no more rows."""
        self._text.detach()
        self._file.seek(0)

    def _row(self, line: int, cells: Sequence[str]) -> RawRow:
        if not all(map(_is_blank, cells[len(self._names) :])):
            return RawRow(line, fault="too_many_cells")
        found = dict.fromkeys(self.columns, "")  # spreadsheets drop trailing empty cells
        for name, cell in zip(self._names, cells, strict=False):
            if len(cell) > MAX_CELL_CHARS:
                return RawRow(line, fault="too_long", column=name or None)
            if name:
                found[name] = as_meant(cell) if name in self._exported else cell
        return RawRow(line, found)

    def _read_header(self, required: str) -> tuple[str, list[str]]:
        """Return the delimiter and the header's cells, leaving the file at the first line after the header.

        The delimiter is the one that a `sep=` line names, else the one that yields the required name and the most
        cells.
        """
        begin, named = self._find_header()
        taken = [begin]
        read = [(each, *self._split(taken, each)) for each in ([named] if named else DELIMITERS)]
        delimiter, header, used = max(read, key=lambda found: _fitness(found[1], required))
        if begin and len(header) < 2 and not all(cells for _, cells, _ in read):
            raise UnreadableUpload("malformed_csv", "The first line is no list of column names.")
        self._lines.give_back(taken[used:])
        return delimiter, header

    def _find_header(self) -> tuple[str, str | None]:
        """Return the first non-blank line, and the delimiter that a `sep=` line before it named."""
        named = None
        self._lines.begin_row()
        for line in self._lines:
            if named is None and (found := _SEP.fullmatch(line.lstrip("\ufeff"))):
                named = found[1]
            elif not _is_blank(line.translate(dict.fromkeys(map(ord, DELIMITERS + '"' + (named or ""))))):
                return line, named
            self._lines.begin_row()
        return "", named

    def _split(self, taken: list[str], delimiter: str) -> tuple[list[str], int]:
        """Return the cells of the row at the start of `taken`, and its number of lines; no cells if it is not a row.

        Further lines that the row needs are appended to `taken`.
        """
        used = 0

        def lines() -> Iterator[str]:
            nonlocal used
            while True:
                if used == len(taken):
                    taken.append(next(self._lines, ""))
                used += 1
                if not taken[used - 1]:
                    return
                yield taken[used - 1]

        try:
            return next(csv.reader(lines(), delimiter=delimiter, strict=True), []), used
        except (csv.Error, UnreadableUpload):
            return [], used


class _Lines:
    """Counts lines; csv's own count starts after the header."""

    def __init__(self, file: TextIOWrapper) -> None:
        self._file = file
        self._count = 0
        self._row_chars = 0
        self._again: deque[str] = deque()

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else self._read()
        if not line:
            raise StopIteration
        self._count += 1
        return line

    def begin_row(self) -> int:
        """Return the number of the next line, where a row begins."""
        self._row_chars = 0
        return self._count + 1

    def give_back(self, lines: Sequence[str]) -> None:
        """Push back lines that were read too early."""
        again = [line for line in lines if line]
        self._again.extendleft(reversed(again))
        self._count -= len(again)

    def _read(self) -> str:
        try:
            line = self._file.readline(MAX_ROW_CHARS + 1)
        except UnicodeError:
            raise UnreadableUpload(
                "wrong_charset",
                f"The file is not {self._file.encoding.upper()}; save it as UTF-8, or name its charset.",
                "Content-Type",
            ) from None
        self._row_chars += len(line)
        if self._row_chars > MAX_ROW_CHARS:
            raise UnreadableUpload(
                "malformed_csv", f"Line {self._count + 1} belongs to a row that is too long."
            )
        return line


def _opened(file: IO[bytes], charset: str) -> TextIOWrapper:
    charset = charset.lower()
    if charset not in CHARSETS:
        raise UnreadableUpload("unknown_charset", f"Send one of {', '.join(CHARSETS)}.", "Content-Type")
    begin = file.read(4)
    file.seek(0)
    encoding = next((name for bom, name in _BOMS if begin.startswith(bom)), None)
    # Keep line ends unchanged: csv handles all of them, and nothing else (U+2028, say) may end a line.
    return TextIOWrapper(file, encoding=encoding or _without_bom(begin, charset), newline="")


def _without_bom(begin: bytes, charset: str) -> str:
    """Return the encoding of a file that begins with a letter: in UTF-16 one of its bytes is NUL, which no text has."""
    if charset in {"utf-8", "utf-16"}:
        if begin[:1] == _NUL:
            return "utf-16-be"
        if begin[1:2] == _NUL:
            return "utf-16-le"
    return (
        "utf-16-be" if charset == "utf-16" else charset
    )  # https://www.rfc-editor.org/rfc/rfc2781#section-4.3


def _fitness(header: Sequence[str], required: str) -> tuple[bool, int]:
    """Return a score for this reading of the header, to compare delimiters."""
    return required in {normalize_name(cell).lower() for cell in header}, len(header)


def _is_blank(cell: str) -> bool:
    return not cell or cell.isspace() or not normalize(cell).strip()


def _names(header: Sequence[str], required: str) -> list[str]:
    """Return the names of the columns, blank for unnamed ones, whose cells are ignored."""
    names = [normalize_name(cell) for cell in header]
    while names and not names[-1]:
        names.pop()
    names = [required if name.lower() == required else name for name in names]
    if required not in names:
        raise UnreadableUpload(
            "missing_column", f"The first line must name the columns, `{required}` among them."
        )
    if len(names) > MAX_COLUMNS:
        raise UnreadableUpload("too_many_columns", f"A file has at most {MAX_COLUMNS} columns.")
    named = [name for name in names if name]
    if any(map(UNSTORABLE.search, named)):
        raise UnreadableUpload("bad_character", "The name of a column contains NUL, or half of a character.")
    if len(set(named)) < len(named):
        raise UnreadableUpload("repeated_column", "Two columns have the same name.")
    return names
