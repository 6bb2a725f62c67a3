"""Lists of people who are not to be texted: imported row by row, with every fault named, and taken out again."""

import csv
import json
import re
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from smsapp.cli.main import main
from smsapp.config import Settings
from smsapp.events.models import OutboxEvent
from smsapp.suppressions import schemas as opt_out_schemas
from smsapp.suppressions.models import Suppression, SuppressionEvent
from smsapp.suppressions.record import record_opt_outs
from smsapp.suppressions.rules import OptOutEvidence, OptOutSource
from smsapp.uploads.rows import MAX_ROWS
from tests.support.web import Api, problem, serving

SERVICE = "MG" + "2" * 32
GOOD = f"recipient,sender,note\n+14155552671,,moved away\n+442071838750,{SERVICE},\n+442071838751,ACME,\n"


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def upload(api: Api, content: str | bytes, kind: str = "text/csv", status: int = 200) -> dict[str, Any]:
    response = api.client.post(
        "/sms/suppressions/import",
        data=content,
        content_type=kind,
        headers={"Authorization": f"Bearer {api.key}"},
    )
    assert response.status_code == status, response.text
    document: dict[str, Any] = response.json
    if status == 200:
        opt_out_schemas.ImportResult.model_validate(document)
    return document


def counts(document: dict[str, Any]) -> tuple[int, int, int, int]:
    return document["rows"], document["added"], document["known"], document["faulty"]


def stored(api: Api) -> set[tuple[str, str, str | None]]:
    with api.rt.sessions() as session:
        rows = session.scalars(select(Suppression).where(Suppression.suppressed))
        return {(row.recipient, row.scope, row.note) for row in rows}


def test_every_row_becomes_a_suppression(api: Api) -> None:
    assert counts(upload(api, GOOD)) == (3, 3, 0, 0)

    assert stored(api) == {
        ("+14155552671", "*", "moved away"),
        ("+442071838750", SERVICE, None),
        ("+442071838751", "ACME", None),
    }
    problem(api.post({"to": "+14155552671", "body": "hi"}), 422, "recipient_opted_out")
    with api.rt.sessions() as session:
        told = session.scalar(select(func.count()).where(OutboxEvent.type == "recipient.opted_out"))
    assert told == 3


def test_json_is_as_good_as_csv(api: Api) -> None:
    document = '{"rows": [{"recipient": "+14155552671", "note": "n"}, {"recipient": "12"}]}'

    result = upload(api, document, "application/json")

    assert counts(result) == (2, 1, 0, 1)
    assert result["faults"][0] == {
        "line": 2,
        "column": "recipient",
        "code": "not_e164",
        "reason": "Must be in E.164 form: a plus sign, the country code and the number, such as +14155552671.",
    }


def test_a_repeated_import_changes_nothing(api: Api) -> None:
    upload(api, GOOD)

    assert counts(upload(api, GOOD)) == (3, 0, 3, 0)


@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
def test_too_many_rows_are_refused_before_one_is_stored(api: Api, kind: str) -> None:
    rows = ["+14155552671"] * (MAX_ROWS + 1)
    document = {"rows": [{"recipient": each} for each in rows]}
    content = json.dumps(document) if kind == "application/json" else "\n".join(["recipient", *rows])

    refused = upload(api, content, kind, status=400)

    assert [fault["code"] for fault in refused["errors"]] == ["too_many_rows"]
    assert stored(api) == set()


def test_of_many_faulty_rows_the_first_hundred_are_told_and_the_others_counted(api: Api) -> None:
    result = upload(api, "recipient\n" + "x\n" * 1000)

    assert counts(result) == (1000, 0, 0, 1000)
    assert [fault["line"] for fault in result["faults"]] == list(range(2, 102))


def test_every_faulty_row_is_named_with_its_line_and_reason(api: Api) -> None:
    lines = [
        "recipient;sender;note",
        "+14155552671;;fine",
        "12;;",  # line 3
        ";;nobody",
        '"+442071838750";"?";',
        '+442071838751;;"a note\nof two lines"',
        "+442071838752;;;;too many",  # line 8
        f"+442071838753;;{'x' * 501}",
        "+44 20 7183 8754;;spaces are fine",
    ]

    result = upload(api, "\n".join(lines))

    assert counts(result) == (8, 3, 0, 5)
    assert [(fault["line"], fault["column"], fault["code"]) for fault in result["faults"]] == [
        (3, "recipient", "not_e164"),
        (4, "recipient", "required"),
        (5, "sender", "not_a_sender"),
        (8, None, "too_many_cells"),
        (9, "note", "too_long"),
    ]
    assert all(fault["reason"].endswith(".") for fault in result["faults"])
    assert {recipient for recipient, _, _ in stored(api)} == {
        "+14155552671",
        "+442071838751",
        "+442071838754",
    }


def test_a_long_list_comes_in_whole(api: Api) -> None:
    rows = [f"+4420718{number:05},," for number in range(30000, 32500)]

    assert counts(upload(api, "\n".join(["recipient,sender,note", *rows]))) == (2500, 2500, 0, 0)


@pytest.mark.parametrize(
    ("content", "kind", "code"),
    [
        ("to,note\n+14155552671,\n", "text/csv", "missing_column"),
        ("", "text/csv", "missing_column"),
        ('recipient\n+14155552671\n"+1415', "text/csv", "malformed_csv"),
        (b"recipient\n+14155552671\n\xff\xfe\n", "text/csv", "wrong_charset"),
        ('{"rows": [{"recipient": "+14155552671"}', "application/json", "malformed_json"),
        ("{}", "application/json", "required"),
        ('{"rows": [], "more": 1}', "application/json", "unknown_field"),
    ],
)
def test_what_cannot_be_read_does_nothing(api: Api, content: str | bytes, kind: str, code: str) -> None:
    document = upload(api, content, kind, 400)

    assert [fault["code"] for fault in document["errors"]] == [code]
    assert stored(api) == set()


def test_other_kinds_of_content_are_refused(api: Api) -> None:
    assert upload(api, "x", "text/plain", 415)["code"] == "unsupported_media_type"


def test_an_export_can_be_imported(api: Api) -> None:
    upload(api, GOOD)
    before = stored(api)
    exported = api.get("/sms/suppressions/export.csv").text
    with api.rt.sessions.begin() as session:
        session.execute(Suppression.__table__.update().values(suppressed=False))  # type: ignore[attr-defined] - a Table

    assert counts(upload(api, exported)) == (3, 3, 0, 0)
    assert stored(api) == before


NOTES = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=40) | st.lists(
    st.sampled_from([*"=+-@'\t\r\n ,;\"", "a"]), max_size=6
).map("".join)


@given(st.lists(NOTES, min_size=1, max_size=20))
@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_whatever_is_noted_an_export_can_be_imported_without_a_loss(api: Api, notes: list[str]) -> None:
    with api.rt.sessions.begin() as session:
        session.execute(SuppressionEvent.__table__.delete())  # type: ignore[attr-defined] - a Table
        session.execute(Suppression.__table__.delete())  # type: ignore[attr-defined] - a Table
    rows = [{"recipient": f"+44207183{number:04}", "note": note} for number, note in enumerate(notes)]
    upload(api, json.dumps({"rows": rows}), "application/json")
    before = stored(api)
    exported = api.get("/sms/suppressions/export.csv").data
    with api.rt.sessions.begin() as session:
        session.execute(SuppressionEvent.__table__.delete())  # type: ignore[attr-defined] - a Table
        session.execute(Suppression.__table__.delete())  # type: ignore[attr-defined] - a Table

    assert counts(upload(api, exported)) == (len(notes), len(notes), 0, 0)
    assert stored(api) == before
    cells = [cell for row in csv.reader(StringIO(exported.decode(), newline="")) for cell in row]
    assert [cell for cell in cells if cell[:1] in {*"=-@\t\r"} or re.match(r"\+(?!\d+$)", cell)] == []


def test_an_export_keeps_also_those_who_are_no_numbers(api: Api) -> None:
    """A short code texted STOP; nobody can text it, but who reads the list shall see it."""
    stopped = OptOutEvidence("68849", ["+15005550006"], True, OptOutSource.INBOUND, api.rt.clock())
    with api.rt.transaction() as tx:
        record_opt_outs(api.rt, tx, [stopped])
    exported = api.get("/sms/suppressions/export.csv").data

    assert counts(upload(api, exported)) == (1, 0, 1, 0)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"sep=;\nrecipient;note\n+14155552671;\n", "text/csv"),
        ("Recipient\tnote\r\n+14155552671\t\r\n".encode("utf-16-le"), "text/csv; charset=utf-16"),  # F06
        ("\ufeff\ufeff,recipient,,\n1,+1\u202f415/5552671,,,\n".encode(), "text/csv"),
    ],
)
def test_lists_as_people_have_them_are_taken(api: Api, content: bytes, kind: str) -> None:
    assert counts(upload(api, content, kind)) == (1, 1, 0, 0)
    assert stored(api) == {("+14155552671", "*", None)}


# --- The command line


def command(api: Api, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    """Run `python -m smsapp suppressions …` on this test's database."""
    monkeypatch.setattr("smsapp.cli.suppressions.command_runtime", lambda: api.rt)
    return CliRunner().invoke(main, ["suppressions", *arguments])


def test_operators_can_do_the_same_in_a_terminal(
    api: Api, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "list.csv"
    file.write_text(GOOD + "12,,\n")

    imported = command(api, monkeypatch, "import", str(file))
    added = command(api, monkeypatch, "add", "+14155552672", "--sender", "+15005550006", "--note", "asked")
    listed = command(api, monkeypatch, "list", "--recipient", "+14155552672")
    lifted = command(api, monkeypatch, "lift", added.stdout.partition(":")[0], "--note", "back")
    exported = command(api, monkeypatch, "export")

    assert (imported.exit_code, imported.stdout) == (1, "3 added, 0 known already, 1 faulty\n")
    assert imported.stderr.startswith("line 5: recipient: Must be in E.164 form")
    assert added.stdout.endswith(": suppressed\n")
    assert "+14155552672  +15005550006" in listed.stdout
    assert lifted.stdout == "Lifted.\n"
    assert {row["recipient"] for row in csv.DictReader(StringIO(exported.stdout))} == {
        "+14155552671",
        "+442071838750",
        "+442071838751",
    }


@pytest.mark.parametrize(
    "arguments",
    [
        ("add", "12", "--note", "n"),
        ("add", "+14155552671", "--sender", "?", "--note", "n"),
        ("lift", "sup_0", "--note", "n"),
    ],
)
def test_nonsense_in_a_terminal_is_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    assert command(api, monkeypatch, *arguments).exit_code != 0
