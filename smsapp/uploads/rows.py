"""The rows and errors that reading an upload yields, whatever its format."""

from dataclasses import dataclass, field

MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_CELL_CHARS = 16_384
"""Ten times the longest text; a longer cell comes from an unclosed quotation mark."""


class UnreadableUpload(ValueError):
    """The whole upload is unusable; `code` is for programs, `detail` for people, `pointer` says where."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as uploaded, its cells by column; `fault` says why it could not be parsed."""

    line: int  # CSV: the line where it begins; JSON: its position. Both count from 1
    cells: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
    column: str | None = None
