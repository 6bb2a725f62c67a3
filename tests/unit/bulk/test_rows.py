"""From an uploaded row to a text, or to the reason why not."""

from collections.abc import Iterable

import pytest

from smsapp.bulk.draft import RowPattern
from smsapp.bulk.rows import CheckedRow, RowState, check_rows, explain_row
from smsapp.content.segments import MAX_BODY_CHARS
from smsapp.templates.rules import parse_template
from smsapp.uploads.rows import MAX_ROWS, RawRow, UnreadableUpload

PATTERN = RowPattern(parse_template("Hi {{name}}"))
NUMBER = "+14155552671"


def check(rows: Iterable[RawRow], *, allow_duplicates: bool = False) -> list[CheckedRow]:
    return list(check_rows(rows, PATTERN, allow_duplicates=allow_duplicates))


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


def content_rows(*rows: dict[str, str], **options: object) -> list[CheckedRow]:
    pattern = RowPattern(
        variables={"1": parse_template("{{name}}"), "2": parse_template("always")},
        options={"content_sid": "HX" + "1" * 32, "content_variables": {"1": "{{name}}", "2": "always"}}
        | options,
    )
    raw = [RawRow(line, cells) for line, cells in enumerate(rows, start=2)]
    return list(check_rows(raw, pattern, allow_duplicates=False))


def test_rows_fill_the_variables_of_a_content_template() -> None:
    (row,) = content_rows({"to": NUMBER, "name": "Ann"})

    assert (row.state, row.body, row.segments) == (RowState.WAITING, "", 1)
    assert row.content_variables == {"1": "Ann", "2": "always"}


def test_rows_with_other_variables_are_no_duplicates() -> None:
    rows = content_rows(*({"to": NUMBER, "name": name} for name in ("Ann", "Bob", "Ann")))

    assert [row.state for row in rows] == [RowState.WAITING, RowState.WAITING, RowState.DUPLICATE]


@pytest.mark.parametrize(
    ("cells", "options", "reason", "column"),
    [
        ({"to": NUMBER}, {}, "missing_value", "name"),
        ({"to": NUMBER, "name": "\u200b"}, {}, "missing_value", "name"),
        ({"to": NUMBER, "name": "a\nb"}, {}, "unfit_value", "name"),
        ({"to": NUMBER, "name": "x" * 1601}, {}, "unfit_value", "name"),
        ({"to": f"whatsapp:{NUMBER}", "name": "Ann"}, {"send_as_mms": True}, "no_mms", "to"),
    ],
)
def test_a_row_that_twilio_would_refuse_says_what_and_where(
    cells: dict[str, str], options: dict[str, object], reason: str, column: str
) -> None:
    (row,) = content_rows(cells, **options)

    assert (row.state, row.reason, row.column) == (RowState.FAULTY, reason, column)
    assert explain_row(reason, column) != "Cannot be sent."
    assert row.content_variables is None
