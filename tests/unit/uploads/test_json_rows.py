"""Rows out of a JSON document that is never held whole."""

import io
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.text import normalize_name
from smsapp.uploads.json_rows import BLOCK, read_options, read_rows
from smsapp.uploads.rows import RawRow, UnreadableUpload

NAMES = st.text().map(normalize_name).filter(bool)


def both(text: str | bytes, *, block: int = BLOCK) -> tuple[dict[str, Any], list[RawRow]]:
    file = io.BytesIO(text.encode() if isinstance(text, str) else text)
    return read_options(file, block=block)[0], list(read_rows(file, block=block))


def test_options_may_stand_before_and_after_the_rows() -> None:
    options, rows = both('{"body": "Hi", "rows": [{"to": "+1"}, {"to": "+2", "n": 7}], "start": true}')

    assert options == {"body": "Hi", "start": True}
    assert rows == [RawRow(1, {"to": "+1"}), RawRow(2, {"to": "+2", "n": "7"})]


@pytest.mark.parametrize(
    ("item", "fault", "column"),
    [
        ("7", "wrong_type", None),
        ('["+1"]', "wrong_type", None),
        ('{"to": 1.5}', "wrong_type", "to"),
        ('{"to": "+1", "ok": true}', "wrong_type", "ok"),
        ('{"to": {"a": 1}}', "wrong_type", "to"),
        (json.dumps({"a": "x" * 20_000}), "too_long", "a"),
        (json.dumps({"First\u00a0name": "x", "First name": "y"}), "repeated_column", "First name"),
        (json.dumps(dict.fromkeys(map(str, range(201)), "x")), "too_many_cells", None),
    ],
)
def test_a_row_of_another_shape_is_a_fault_of_its_own(item: str, fault: str, column: str | None) -> None:
    _, rows = both('{"rows": [' + item + ', {"to": "+2"}]}')

    assert (rows[0].line, rows[0].fault, rows[0].column) == (1, fault, column)
    assert rows[1] == RawRow(2, {"to": "+2"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "7",
        '{"rows": [',
        '{"rows": [{"to": "+1"}',
        '{"rows": [{"to": "+1"},]}',
        '{"rows": [{"to": "+1"}]',
        '{"rows": []} x',
        '{"rows": [] "a": 1}',
        '{1: 2, "rows": []}',
        '{"rows": [NaN]}',
        '{"rows": [], "rows": []}',
        '{"rows": [' + "[" * 5000 + "]}",
        '{"rows": ["' + "x" * 4_000_000 + '"]}',
        b'{"rows": ["\xff"]}',
    ],
)
def test_what_is_no_such_document_is_refused(text: str | bytes) -> None:
    with pytest.raises(UnreadableUpload) as caught:
        both(text)
    assert caught.value.code in {"malformed_json", "wrong_type"}


@pytest.mark.parametrize(("text", "code"), [("{}", "required"), ('{"rows": {}}', "wrong_type")])
def test_rows_must_be_there_and_a_list(text: str, code: str) -> None:
    with pytest.raises(UnreadableUpload) as caught:
        both(text)
    assert (caught.value.code, caught.value.pointer) == (code, "/rows")


@given(
    st.lists(st.dictionaries(NAMES, st.text() | st.integers(), max_size=3), max_size=20),
    st.integers(1, 7),
)
def test_where_blocks_end_makes_no_difference(items: list[dict[str, str | int]], block: int) -> None:
    text = json.dumps({"a": 12, "rows": items, "b": 345})

    options, rows = both(text, block=block)

    assert options == {"a": 12, "b": 345}
    assert [row.cells for row in rows] == [{k: str(v) for k, v in item.items()} for item in items]


def test_names_of_cells_are_compared_as_they_look() -> None:
    _, rows = both(
        json.dumps({"rows": [{"First\u00a0name": "Ann", "\u200bpre\u0301nom ": "Zo\u00eb", "\u200b": "x"}]})
    )

    assert rows == [RawRow(1, {"First name": "Ann", "pr\u00e9nom": "Zo\u00eb"})]


def test_a_row_as_long_as_in_csv_is_read_and_no_slower_for_its_length() -> None:
    """Each of 200 cells as long as it may be: 3 MB. What is decoded again while it comes in is counted, not timed."""
    row = {str(number): "x" * 16_384 for number in range(200)}
    decoded = 0

    class Counting(json.JSONDecoder):
        def raw_decode(self, s: str, idx: int = 0) -> tuple[Any, int]:
            nonlocal decoded
            decoded += len(s) - idx
            return super().raw_decode(s, idx)

    text = json.dumps({"rows": [row]})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json, "JSONDecoder", Counting)
        [found] = read_rows(io.BytesIO(text.encode()))

    assert found.cells == row
    assert decoded < 4 * len(text)
