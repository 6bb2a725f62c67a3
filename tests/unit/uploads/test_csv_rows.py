"""CSV as it comes out of spreadsheets."""

import contextlib
import csv
import io
import re
import time
from collections.abc import Callable
from typing import IO

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapp.uploads.csv_rows import MAX_ROW_CHARS, CsvRows
from smsapp.uploads.rows import MAX_CELL_CHARS, MAX_COLUMNS, RawRow, UnreadableUpload
from smsapp.uploads.spreadsheets import as_meant, harmless


def file(text: str | bytes) -> IO[bytes]:
    return io.BytesIO(text.encode() if isinstance(text, str) else text)


def rows(text: str | bytes, charset: str = "utf-8") -> list[RawRow]:
    return list(CsvRows(file(text), charset=charset))


def refusal(text: str | bytes, charset: str = "utf-8") -> str:
    with pytest.raises(UnreadableUpload) as caught:
        rows(text, charset)
    return caught.value.code


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_delimiter_and_line_end_is_understood(delimiter: str, end: str) -> None:
    text = end.join(delimiter.join(cells) for cells in (["to", "name"], ["+1", "Ann"], ["+2", "Bob"]))

    assert rows(text) == [
        RawRow(2, {"to": "+1", "name": "Ann"}),
        RawRow(3, {"to": "+2", "name": "Bob"}),
    ]


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("utf-8", "utf-8"),
        ("utf-8-sig", "utf-8"),
        ("utf-16", "utf-8"),  # its byte order mark tells
        ("windows-1252", "windows-1252"),
        ("iso-8859-1", "ISO-8859-1"),
    ],
)
def test_every_charset_is_read(encoding: str, charset: str) -> None:
    assert rows("to,name\n+1,Zoë\n".encode(encoding), charset) == [RawRow(2, {"to": "+1", "name": "Zoë"})]


def test_a_file_in_another_charset_is_refused_rather_than_guessed() -> None:
    assert refusal("to,name\n+1,Zoë\n".encode("windows-1252")) == "wrong_charset"
    assert refusal("to\n", "koi8-r") == "unknown_charset"


def test_quotes_hold_delimiters_quotes_and_line_breaks() -> None:
    text = 'to,name\n+1,"Smith, ""Ann""\nof two lines"\n+2,Bob\n'

    assert rows(text) == [
        RawRow(2, {"to": "+1", "name": 'Smith, "Ann"\nof two lines'}),
        RawRow(4, {"to": "+2", "name": "Bob"}),
    ]


def test_only_line_ends_end_a_line() -> None:
    assert rows("to,name\n+1,a\u2028b\x0cc\x85d\n")[0].cells["name"] == "a\u2028b\x0cc\x85d"


def test_empty_lines_count_as_lines_but_are_no_rows() -> None:
    text = "\n\nto,name\n\n+1,Ann\n,\n \n+2,Bob\n\n"

    assert [(row.line, row.cells["to"]) for row in rows(text)] == [(5, "+1"), (8, "+2")]


def test_missing_cells_are_empty_and_surplus_ones_a_fault() -> None:
    assert rows("to,a,b\n+1\n+2,x,y,z\n+3,x,y\n") == [
        RawRow(2, {"to": "+1", "a": "", "b": ""}),
        RawRow(3, fault="too_many_cells"),
        RawRow(4, {"to": "+3", "a": "x", "b": "y"}),
    ]


@pytest.mark.parametrize("cell", ["x" * (MAX_CELL_CHARS + 1), '"' + "x\n" * 70_000 + '"', "x" * 3_000_000])
def test_a_huge_cell_is_a_fault_of_its_row_alone(cell: str) -> None:
    found = rows(f"to,a\n+1,{cell}\n+2,y\n")

    assert (found[0].fault, found[0].column) == ("too_long", "a")
    assert found[1].cells == {"to": "+2", "a": "y"}


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "missing_column"),
        ("\n\n", "missing_column"),
        ("name,number\nAnn,+1\n", "missing_column"),
        ("to,a,a\n", "repeated_column"),
        ("to,TO\n", "repeated_column"),
        ("to,na\x00me\n", "bad_character"),
        ('to,name\n+1,"Ann\n+2,Bob\n', "malformed_csv"),
        ('to,name\n+1,"Ann" x\n', "malformed_csv"),
        ("to,name\n+1," + "x" * (MAX_ROW_CHARS + 1), "malformed_csv"),
        ("to,name\n+1" + ',"\n"' * (MAX_ROW_CHARS // 4), "malformed_csv"),  # one row of very many lines
        ("to," + ",".join(map(str, range(MAX_COLUMNS))), "too_many_columns"),
        ('"a";"b"\n1;2\n', "missing_column"),
        ("to,First\u00a0name,First name\n", "repeated_column"),
        ('to,"name\n', "malformed_csv"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, code: str) -> None:
    assert refusal(text) == code


def test_names_of_columns_are_trimmed_and_to_may_be_in_capitals() -> None:
    found = CsvRows(file(" TO ; First name ;;\n+1;Ann;;\n"))

    assert found.columns == ["to", "First name"]


# Files as people have them; the numbers are those of the cases from the field.


@pytest.mark.parametrize(
    "first",
    [
        "sep=;\r\n",
        "SEP=;\n",
        '"sep=;"\n',
        "sep=;;;\n",
        "\nsep=;\n\n",
        "\ufeffsep=;\n",
    ],
)
def test_a_line_that_names_the_delimiter_is_none_of_the_header(first: str) -> None:  # F02
    found = CsvRows(file(first + "to;a,b,c,d\r\n+14155552671;Ann\r\n"))

    assert found.columns == ["to", "a,b,c,d"]
    assert [row.cells for row in found] == [{"to": "+14155552671", "a,b,c,d": "Ann"}]


@pytest.mark.parametrize("delimiter", ["|", "^", "\t"])
def test_any_delimiter_can_be_named(delimiter: str) -> None:
    assert rows(f"sep={delimiter}\nto{delimiter}a\n+1{delimiter}Ann\n")[0].cells == {"to": "+1", "a": "Ann"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_a_name_in_quotes_may_have_line_breaks(delimiter: str, end: str) -> None:  # F03
    header = delimiter.join(["to", f'"Given{end}name"', "name", '"last, or ""family""; name"'])
    found = CsvRows(file(f"{header}{end}{delimiter.join(['+1', 'x', 'Ann', 'y'])}{end}"))

    assert found.columns == ["to", "Given name", "name", 'last, or "family"; name']
    assert [(row.line, row.cells["name"]) for row in found] == [(3, "Ann")]


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("to,First\u00a0name", "First name"),
        ("to,\u200bname", "name"),
        ("to,pre\u0301nom", "pr\u00e9nom"),
        ("\ufeff\ufeffto,name", "name"),
        ("\u2060To\u00a0,name ", "name"),
        ("to,first  name", "first name"),
    ],
)
def test_names_that_look_the_same_are_the_same(header: str, name: str) -> None:  # F05
    assert rows(f"{header}\n+1,Ann\n")[0].cells == {"to": "+1", name: "Ann"}


@pytest.mark.parametrize(
    ("encoding", "charset"),
    [
        ("utf-16-le", "utf-16"),  # F06
        ("utf-16-be", "utf-16"),
        ("utf-16-le", "utf-8"),  # nobody said so, but no text has NULs in it
        ("utf-16-be", "UTF-8"),
        ("utf-16-le", "utf-16le"),
        ("utf-16-be", "UTF-16BE"),
        ("utf-16", "utf-16"),
        ("utf-16", "utf-16le"),
    ],
)
def test_utf_16_is_read_with_and_without_its_mark(encoding: str, charset: str) -> None:
    text = "to\tname\r\n+14155552671\tZo\u00eb \U0001f600\r\n"

    assert rows(text.encode(encoding), charset)[0].cells == {
        "to": "+14155552671",
        "name": "Zo\u00eb \U0001f600",
    }


@pytest.mark.parametrize(
    ("content", "charset"),
    [
        (b"to,a\n+1,\xff\n", "utf-8"),
        ("to,a\n+1,b\n".encode("utf-16-le")[:-1], "utf-16"),  # half a character at the end
        ("to,a\n+1,".encode("utf-16-le") + b"\x00\xd8\n\x00", "utf-16le"),  # half a pair
        (b"to,a\n+1,\xe2\x82", "utf-8"),
        (b"to,a\n+1,\x81\n", "windows-1252"),
    ],
)
def test_what_cannot_be_decoded_is_refused_wherever_it_stands(content: bytes, charset: str) -> None:
    assert refusal(content, charset) == "wrong_charset"


@given(
    st.binary(), st.sampled_from(["utf-8", "utf-16", "utf-16le", "utf-16be", "windows-1252", "iso-8859-1"])
)
def test_any_bytes_are_read_or_refused(content: bytes, charset: str) -> None:
    try:
        rows(b"to,a\n" + content, charset)
        rows(content, charset)
    except UnreadableUpload:
        pass


def test_blank_columns_say_nothing_wherever_they_are() -> None:
    text = ",to,,\u00a0,name,,\n7,+1,x,y,Ann,,\n8,+2,,,Bob,,,,,\u200b\n9,+3,,,Cid,,,surplus\n"
    found = CsvRows(file(text))

    assert found.columns == ["to", "name"]
    assert list(found) == [
        RawRow(2, {"to": "+1", "name": "Ann"}),
        RawRow(3, {"to": "+2", "name": "Bob"}),
        RawRow(4, fault="too_many_cells"),
    ]


@pytest.mark.parametrize("blank", [",,", "\u00a0,\u200b,", " ; ;", "\ufeff", '"",""', "\t\t"])
def test_blank_rows_are_none(blank: str) -> None:
    assert [row.cells["to"] for row in rows(f"{blank}\nto,name\n{blank.replace(';', ',')}\n+1,Ann\n")] == [
        "+1"
    ]


def test_every_cell_may_be_as_long_as_it_may_be() -> None:
    names = ["to", *(f"c{number}" for number in range(MAX_COLUMNS - 1))]
    cells = ['"' + "x\n" * (MAX_CELL_CHARS // 2) + '"'] * MAX_COLUMNS

    [row] = rows(",".join(names) + "\n" + ",".join(cells) + "\n")

    assert row.fault is None
    assert {len(cell) for cell in row.cells.values()} == {MAX_CELL_CHARS}


LONG_ROWS = {
    "many cells": lambda size: "+1" + ",x" * (size // 2),
    "blank cells": lambda size: "+1" + "," * size,
    "one cell": lambda size: "+1," + "x" * size,
    "a cell in quotes": lambda size: '+1,"' + "x" * (size // 40) + '"' + ',"y"' * (size // 5),
    "quotes in quotes": lambda size: '+1,"' + '""' * (size // 50) + '"' + ',""' * (size // 4),
    "line breaks": lambda size: "+1" + ',"\n"' * (size // 4),
    "an open quotation mark": lambda size: '+1,"' + "x\n" * (size // 2),
    "a long header": lambda size: "\nto" + ",x" * (size // 2),
}


@pytest.mark.parametrize("row", LONG_ROWS.values(), ids=LONG_ROWS)
def test_reading_a_row_is_linear_in_its_bytes(row: Callable[[int], str]) -> None:
    """Twelve times the bytes take less than forty times the time; anything quadratic takes 144 times as long."""

    def seconds(size: int) -> float:
        upload = file(f"to,a\n{row(size)}\n")
        began = time.process_time()
        with contextlib.suppress(UnreadableUpload):
            list(CsvRows(upload))
        return time.process_time() - began

    short = min(seconds(250_000) for _ in range(3))

    assert seconds(3_000_000) < 40 * max(short, 0.001)


# What we write comes back.


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"))
RISKY = st.lists(st.sampled_from([*"=+-@'\t\r\n ,;|\"", "\uff1d", "\ufeff", "a", "1"]), max_size=8).map(
    "".join
)
FORMULA = re.compile(r"[\s\ufeff\u200b]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r]")


@given(TEXTS | RISKY)
@example("+14155552671")
@example("'=1+1")
@example("''")
def test_what_is_exported_is_no_formula_and_comes_back_as_it_was(text: str) -> None:
    cell = harmless(text)
    written = io.StringIO()
    csv.writer(written).writerows([["to", "a"], ["+1", cell]])
    upload = io.BytesIO(written.getvalue().encode())

    assert as_meant(cell) == text
    assert [row.cells["a"] for row in CsvRows(upload, exported=("a",))] == [text]
    if not re.fullmatch(r"\+[0-9]+", text):
        # However the file is cut into cells: by its own delimiter, or in lands where that is a semicolon.
        assert not any(FORMULA.match(part) for part in re.split(r"[;\t]", cell))


def test_a_text_of_somebody_elses_that_looks_like_ours_is_left_alone() -> None:
    [row] = CsvRows(file("to,text\n+1,'=1\n"))

    assert row.cells["text"] == "'=1"


@given(st.lists(st.text(st.characters(exclude_characters="\r\n\x00", codec="utf-8"), min_size=1), min_size=1))
def test_what_a_csv_writer_writes_is_read_back(values: list[str]) -> None:
    quoted = "".join(f'+1,"{value.replace(chr(34), chr(34) * 2)}"\n' for value in values)

    assert [row.cells["a"] for row in rows(f"to,a\n{quoted}")] == values


def test_a_file_that_was_let_go_can_be_read_once_more() -> None:
    upload = file("to\n+1\n")
    first = CsvRows(upload)
    read = list(first)

    first.let_go()
    del first

    assert list(CsvRows(upload)) == read
