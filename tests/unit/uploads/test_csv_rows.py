"""CSV as it comes out of spreadsheets."""

import io
from typing import IO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.uploads.csv_rows import CsvRows
from smsapp.uploads.rows import MAX_CELL_CHARS, RawRow, UnreadableUpload


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


def test_a_huge_cell_is_a_fault_of_its_row_alone() -> None:
    found = rows(f"to,a\n+1,{'x' * (MAX_CELL_CHARS + 1)}\n+2,y\n")

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
        ('to,name\n+1,"Ann\n+2,Bob\n', "malformed_csv"),
        ('to,name\n+1,"Ann" x\n', "malformed_csv"),
        ('to,name\n+1,"' + "x\n" * 70_000 + '"\n', "malformed_csv"),
        ("to,name\n+1," + "x" * 70_000, "malformed_csv"),
        ('to,"name\n', "malformed_csv"),
    ],
)
def test_what_cannot_be_read_is_refused(text: str, code: str) -> None:
    assert refusal(text) == code


def test_names_of_columns_are_trimmed_and_to_may_be_in_capitals() -> None:
    found = CsvRows(file(" TO ; First name ;;\n+1;Ann;;\n"))

    assert found.columns == ["to", "First name"]


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
