"""Stream a JSON document with a long list, `{"body": …, "rows": [{…}, …]}`, without holding all of it in memory."""

import codecs
import hashlib
import json
from collections.abc import Iterator
from typing import Any, Never, Protocol

from smsapp.text import normalize_name
from smsapp.uploads.rows import MAX_CELL_CHARS, MAX_COLUMNS, RawRow, UnreadableUpload

ROWS = "rows"

BLOCK = 16_384
_MAX_VALUE_CHARS = MAX_COLUMNS * (MAX_CELL_CHARS + 128)
"""As long as the longest row, without allowing for JSON escapes, which can make a text longer: no real row needs
that."""
_SPACE = " \t\n\r"


class Readable(Protocol):
    """The file methods that the reader needs."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes; fewer only at the end."""

    def seek(self, position: int, /) -> Any:
        """Go to a position."""


def read_options(file: Readable, *, block: int = BLOCK) -> tuple[dict[str, Any], bytes]:
    """Return every member of the document except `rows`, in whatever order they come, and a digest of the rows.

    The digest is of what the rows mean: in whatever order each names its cells, and with null or nothing for none.

    Raises:
        UnreadableUpload: not a JSON object with a list of rows.
    """
    options: dict[str, Any] = {}
    found, digest = False, hashlib.sha256()
    scanner = _Scanner(file, block)
    for name in scanner.members():
        if name != ROWS:
            options[name] = scanner.value()
            continue
        if found:
            raise UnreadableUpload("malformed_json", "There are two members `rows`.", "/rows")
        found = True
        for number, item in enumerate(scanner.items(), start=1):
            row = _row(number, item)
            digest.update(repr((sorted(row.cells.items()), row.fault, row.column)).encode())
    if not found:
        raise UnreadableUpload("required", "This field is required.", "/rows")
    return options, digest.digest()


def read_rows(file: Readable, *, block: int = BLOCK) -> Iterator[RawRow]:
    """Yield the rows of a document that `read_options` has found well-formed."""
    scanner = _Scanner(file, block)
    for name in scanner.members():
        if name == ROWS:
            for number, item in enumerate(scanner.items(), start=1):
                yield _row(number, item)
            return
        scanner.value()


def _row(number: int, item: object) -> RawRow:
    if not isinstance(item, dict):
        return RawRow(number, fault="wrong_type")
    if len(item) > MAX_COLUMNS:
        return RawRow(number, fault="too_many_cells")
    cells: dict[str, str] = {}
    for given, value in item.items():
        name = normalize_name(given)
        if value is None or not name:
            continue
        if name in cells:
            return RawRow(number, fault="repeated_column", column=name)
        if isinstance(value, bool) or not isinstance(value, str | int):
            return RawRow(number, fault="wrong_type", column=name)
        cell = str(value)
        if len(cell) > MAX_CELL_CHARS:
            return RawRow(number, fault="too_long", column=name)
        cells[name] = cell
    return RawRow(number, cells)


class _Scanner:
    """Decodes one value after another from a buffer that is filled block by block."""

    def __init__(self, file: Readable, block: int) -> None:
        file.seek(0)
        self._file = file
        self._block = block
        self._text = codecs.getincrementaldecoder("utf-8-sig")()
        self._decoder = json.JSONDecoder(parse_constant=_malformed)
        self._buffer = ""
        self._at = 0
        self._ended = False

    def members(self) -> Iterator[str]:
        """Yield the names of the document's members; the caller must consume each value before the next name."""
        self._expect("{")
        if self._next() == "}":
            self._at += 1
        else:
            while True:
                name = self.value()
                if not isinstance(name, str):
                    _malformed()
                self._expect(":")
                yield name
                if self._separator("}"):
                    break
        if self._next():
            _malformed()

    def items(self) -> Iterator[Any]:
        """Yield the items of a list."""
        if self._next() != "[":
            raise UnreadableUpload("wrong_type", "Must be a list of objects.", "/rows")
        self._at += 1
        if self._next() == "]":
            self._at += 1
            return
        while True:
            yield self.value()
            if self._separator("]"):
                return

    def value(self) -> Any:
        """Return the next value; it must be short, because all of it is held in memory."""
        self._next()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._buffer, self._at)
            except (ValueError, RecursionError):
                end = len(self._buffer)
            else:
                if end - self._at > _MAX_VALUE_CHARS:
                    _malformed()
                if end < len(self._buffer) or self._ended:  # a number at the end of the buffer may continue
                    self._at = end
                    return value
            if self._ended or end - self._at > _MAX_VALUE_CHARS:
                _malformed()
            # Doubling bounds the total cost of decoding from the start each time to a constant factor.
            self._fill(max(self._block, end - self._at))

    def _separator(self, close: str) -> bool:
        """Consume a comma or the closing bracket; return whether it was the bracket."""
        found = self._next()
        if found not in {",", close}:
            _malformed()
        self._at += 1
        return found == close

    def _expect(self, character: str) -> None:
        if self._next() != character:
            _malformed()
        self._at += 1

    def _next(self) -> str:
        """Skip white space and return the next character without consuming it; empty at the end."""
        while True:
            while self._at < len(self._buffer) and self._buffer[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._buffer):
                return self._buffer[self._at]
            if self._ended:
                return ""
            self._fill(self._block)

    def _fill(self, size: int) -> None:
        try:
            block = self._file.read(size)
            text = self._text.decode(block, final=not block)
        except UnicodeDecodeError:
            raise UnreadableUpload("malformed_json", "JSON must be UTF-8.") from None
        self._buffer = self._buffer[self._at :] + text
        self._at = 0
        self._ended = not block


def _malformed(*_: object) -> Never:
    raise UnreadableUpload("malformed_json", "The body is not JSON, or a value in it is far too long.")
