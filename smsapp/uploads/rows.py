"""What reading an upload yields, whatever its format."""

from dataclasses import dataclass, field

MAX_ROWS = 100_000
MAX_COLUMNS = 200
MAX_CELL_CHARS = 16_384
"""Ten times the longest text; more is a quotation mark that was never closed."""


class UnreadableUpload(ValueError):
    """The whole upload cannot be used; `code` is for programs, `detail` for people, `pointer` says where."""

    def __init__(self, code: str, detail: str, pointer: str = "") -> None:
        super().__init__(code)
        self.code = code
        self.detail = detail
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class RawRow:
    """One row as it was uploaded, its cells by column; `fault` says why it could not be read as one."""

    line: int  # where it begins, in a CSV file; in JSON its number. Both count from 1
    cells: dict[str, str] = field(default_factory=dict)
    fault: str | None = None
    column: str | None = None
