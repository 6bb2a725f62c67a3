"""From an uploaded row to a text, or to the reason why not."""

from collections.abc import Iterable

import pytest

from smsapp.bulk.rows import CheckedRow, RowState, check_rows, explain_row
from smsapp.messages.segments import MAX_BODY_CHARS
from smsapp.templates.rules import parse_template
from smsapp.uploads.rows import MAX_ROWS, RawRow, UnreadableUpload

TEMPLATE = parse_template("Hi {{name}}")
NUMBER = "+14155552671"


def check(rows: Iterable[RawRow], *, allow_duplicates: bool = False) -> list[CheckedRow]:
    return list(check_rows(rows, TEMPLATE, allow_duplicates=allow_duplicates))


def test_a_good_row_becomes_a_text() -> None:
    (row,) = check([RawRow(2, {"to": "+1 (415) 555-2671", "name": "Ann", "client_reference": "o-1"})])

    assert (row.state, row.to, row.body, row.client_reference) == (RowState.WAITING, NUMBER, "Hi Ann", "o-1")
    assert (row.segments, row.region) == (1, "US")


@pytest.mark.parametrize(
    ("cells", "reason", "column"),
    [
        ({"name": "Ann"}, "missing_value", "to"),
        ({"to": " ", "name": "Ann"}, "missing_value", "to"),
        ({"to": "0151 234", "name": "Ann"}, "not_e164", "to"),
        ({"to": "+1415", "name": "Ann"}, "too_short", "to"),
        ({"to": NUMBER}, "missing_value", "name"),
        ({"to": NUMBER, "name": "x" * MAX_BODY_CHARS}, "text_too_long", None),
        ({"to": NUMBER, "name": "a\x00b"}, "bad_character", None),
        ({"to": NUMBER, "name": "\ud800"}, "bad_character", None),
        ({"to": NUMBER, "name": "Ann", "client_reference": "x" * 256}, "too_long", "client_reference"),
    ],
)
def test_a_faulty_row_says_what_and_where(cells: dict[str, str], reason: str, column: str | None) -> None:
    (row,) = check([RawRow(7, cells)])

    assert (row.line, row.state, row.reason, row.column) == (7, RowState.FAULTY, reason, column)
    assert explain_row(reason, column) != "Cannot be sent."
    assert row.body is None


def test_the_same_text_to_the_same_number_is_sent_once() -> None:
    rows = [
        RawRow(2, {"to": NUMBER, "name": "Ann"}),
        RawRow(3, {"to": "+1 415 555 2671", "name": "Ann"}),
        RawRow(4, {"to": NUMBER, "name": "Bob"}),
    ]

    assert [row.state for row in check(rows)] == [RowState.WAITING, RowState.DUPLICATE, RowState.WAITING]
    assert {row.state for row in check(rows, allow_duplicates=True)} == {RowState.WAITING}


def test_too_many_rows_and_none_are_refused() -> None:
    good = RawRow(2, {"to": NUMBER, "name": "Ann"}, fault="wrong_type")
    with pytest.raises(UnreadableUpload) as caught:
        check([])
    assert caught.value.code == "no_rows"

    assert len(check(good for _ in range(MAX_ROWS))) == MAX_ROWS
    with pytest.raises(UnreadableUpload) as caught:
        check(good for _ in range(MAX_ROWS + 1))
    assert caught.value.code == "too_many_rows"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("+525512345678", "+52 1 55 1234 5678"),
        ("+5541988887777", "+554188887777"),
        ("+541123456789", "+54 9 11 2345-6789"),
    ],
)
def test_a_phone_in_another_spelling_is_the_same_phone(first: str, second: str) -> None:
    rows = check([RawRow(2, {"to": first, "name": "Ann"}), RawRow(3, {"to": second, "name": "Ann"})])

    assert [row.state for row in rows] == [RowState.WAITING, RowState.DUPLICATE]
    assert rows[0].to == first
