"""Uploading jobs, over HTTP."""

import csv
import io
import json
import re
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from smsapp.bulk.feed import feed_jobs
from smsapp.bulk.models import BulkJob, BulkRow
from smsapp.bulk.schemas import JobDocument, JobList
from smsapp.bulk.tend import UPLOAD_AGE, discard_uploads
from smsapp.config import Settings
from smsapp.db.models import IdempotencyKey
from smsapp.ids import parse_job_id
from smsapp.messages.models import Message
from smsapp.web import uploads as web_uploads
from tests.support.web import Api, faults, problem, serving

NUMBER = "+14155552671"
CSV = f"to,name\n{NUMBER},Ann\n+14155552672,Bob\n"


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def upload(
    api: Api,
    data: str | bytes,
    *,
    kind: str = "text/csv",
    headers: dict[str, str] | None = None,
    **query: Any,
) -> TestResponse:
    return api.client.post(
        "/sms/jobs",
        data=data,
        query_string=query,
        content_type=kind,
        headers={"Authorization": f"Bearer {api.key}"} | (headers or {}),
    )


def created(response: TestResponse) -> dict[str, Any]:
    assert response.status_code == 201, response.text
    JobDocument.model_validate_json(response.data, strict=False)
    document: dict[str, Any] = response.json
    return document


def stored(api: Api) -> tuple[int, int, int]:
    """Return how many jobs, rows and messages there are, also those that nobody can see."""
    with api.rt.sessions() as session:
        return tuple(
            session.scalar(select(func.count()).select_from(kind)) or 0
            for kind in (BulkJob, BulkRow, Message)
        )  # type: ignore[return-value]


def test_a_csv_file_becomes_a_job_that_waits(api: Api) -> None:
    response = upload(api, CSV, body="Hi {{name}}", name="greetings")
    job = created(response)

    assert response.headers["Location"] == f"/sms/jobs/{job['id']}"
    assert (job["state"], job["rows"], job["segments"], job["name"]) == ("ready", 2, 2, "greetings")
    assert job["counts"]["waiting"] == 2
    assert (job["statuses"], job["faults"], job["ignored_columns"]) == ({}, [], [])
    assert api.get(f"/sms/jobs/{job['id']}").json == job
    assert stored(api) == (1, 2, 0)


def test_beside_csv_the_text_may_be_called_text_or_body(api: Api) -> None:
    jobs = [created(upload(api, CSV, **{name: "Hi {{name}}"})) for name in ("text", "body")]

    assert [(job["body"], job["segments"]) for job in jobs] == [("Hi {{name}}", 2)] * 2


def test_json_rows_become_a_job(api: Api) -> None:
    document = {
        "rows": [{"to": NUMBER, "name": "Ann", "client_reference": "o-1"}, {"to": "nobody", "name": "Bob"}],
        "body": "Hi {{name}}",
        "tags": ["spring"],
    }
    job = created(upload(api, json.dumps(document), kind="application/json"))

    assert (job["rows"], job["counts"]["waiting"], job["tags"]) == (2, 1, ["spring"])
    assert job["faults"] == [
        {
            "line": 2,
            "column": "to",
            "code": "not_e164",
            "detail": "Must be in E.164 form: a plus sign, the country code and the number, such as +14155552671.",
        }
    ]


def test_rows_to_numbers_of_a_refused_kind_are_left_out(api: Api) -> None:
    rows = [{"to": NUMBER}, {"to": "+979123456789"}, {"to": "+881612345678"}]
    document = json.dumps({"rows": rows, "body": "Hi"})

    job = created(upload(api, document, kind="application/json"))

    assert job["counts"]["waiting"] == 1
    assert [(fault["line"], fault["code"]) for fault in job["faults"]] == [
        (2, "number_type_refused"),
        (3, "number_type_refused"),
    ]


def test_a_form_with_a_file_becomes_a_job(api: Api) -> None:
    response = api.client.post(
        "/sms/jobs",
        data={"body": "Hi {{name}}", "tags": ["a", "b"], "file": (io.BytesIO(CSV.encode()), "people.csv")},
        headers={"Authorization": f"Bearer {api.key}"},
    )

    job = created(response)
    assert (job["counts"]["waiting"], job["tags"]) == (2, ["a", "b"])


OPTIONS: dict[str, Any] = {
    "sensitive": True,
    "callback_url": "https://example.com/told",
    "on_failure": {"steps": [{"on": ["content"], "do": "resend", "after": "5m"}], "max_segments": 4},
    "tags": ["spring"],
}


@pytest.mark.parametrize("kind", ["json", "query", "form"])
def test_the_options_of_a_single_text_are_taken_for_all_rows(api: Api, kind: str) -> None:
    begin = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    times = {"send_at": begin.isoformat(), "deliver_by": (begin + timedelta(hours=1)).isoformat()}
    options = OPTIONS | times | {"body": "Code {{name}}"}
    flat = {
        name: json.dumps(value) if isinstance(value, dict | bool) else value
        for name, value in options.items()
    }

    if kind == "json":
        rows = [{"to": NUMBER, "name": "Ann"}]
        response = upload(api, json.dumps(options | {"rows": rows}), kind="application/json")
    elif kind == "query":
        response = upload(api, CSV, **flat)
    else:
        file = (io.BytesIO(CSV.encode()), "people.csv")
        response = api.client.post(
            "/sms/jobs", data=flat | {"file": file}, headers={"Authorization": f"Bearer {api.key}"}
        )

    job = created(response)
    assert {name: job[name] for name in OPTIONS} == OPTIONS
    assert [datetime.fromisoformat(job[name]) for name in times] == [begin, begin + timedelta(hours=1)]
    assert (job["body"], job["resend_after_failure"]) == (None, False)


def test_the_words_of_a_sensitive_job_are_kept_for_its_rows_alone(api: Api) -> None:
    job = created(
        upload(api, CSV, body="Secret {{name}}", sensitive="true", headers={"Idempotency-Key": "k"})
    )

    with api.rt.sessions() as session:
        kept = session.scalars(select(IdempotencyKey.answer)).one()
        bodies = session.scalars(select(BulkJob.body)).all(), session.scalars(select(BulkRow.body)).all()
    assert bodies == ([""], ["Secret Ann", "Secret Bob"])
    shown = [api.get(f"/sms/jobs/{job['id']}{part}").text for part in ("", "/results.csv")]
    assert [text for text in [json.dumps(kept), *shown] if "Secret" in text or "Ann" in text] == []
    api.post(path=f"/sms/jobs/{job['id']}/cancel")
    with api.rt.sessions() as session:
        assert session.scalars(select(BulkRow.body)).all() == [None, None]


def test_every_faulty_row_is_counted_and_the_first_hundred_are_told(api: Api) -> None:
    lines = (
        ["to;name;colour"] + [f"{number};Ann;red" for number in range(150)] + [f"{NUMBER};;", f"{NUMBER};Ann"]
    )
    job = created(upload(api, "\n".join(lines), body="Hi {{name}}"))

    assert (job["rows"], job["counts"]["faulty"], job["counts"]["waiting"]) == (152, 151, 1)
    assert [fault["line"] for fault in job["faults"]] == list(range(2, 102))
    assert job["ignored_columns"] == ["colour"]
    results = api.get(f"/sms/jobs/{job['id']}/results.csv").text.splitlines()
    assert len(results) == 153
    assert results[151].startswith(f"152,{NUMBER},,faulty,missing_value,name,Has no value.")
    assert results[152].startswith(f"153,{NUMBER},,waiting,")


def test_duplicates_are_counted_and_left_out_unless_they_are_wanted(api: Api) -> None:
    twice = f"to\n{NUMBER}\n+1 (415) 555-2671\n"

    assert created(upload(api, twice, body="Hi"))["counts"]["duplicate"] == 1
    job = created(upload(api, twice, body="Hi", allow_duplicates="true"))
    assert (job["counts"]["duplicate"], job["counts"]["waiting"]) == (0, 2)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({}, {"?body": "required"}),
        ({"body": "Hi", "template": "x"}, {"?body": "invalid"}),
        ({"body": "Hi", "template_version": "1"}, {"?template_version": "invalid"}),
        ({"body": "Hi", "colour": "red"}, {"?colour": "unknown_field"}),
        ({"body": "Hi {{name"}, {"?body": "lone_braces"}),
        ({"body": "Hi {{}}"}, {"?body": "bad_placeholder"}),
        ({"template": "no-such"}, {"?template": "unknown"}),
        ({"body": "Hi", "start": "perhaps"}, {"?start": "wrong_type"}),
        ({"body": "x" * 1601}, {"?body": "too_long"}),
        ({"body": "Hi", "deliver_by": "2020-01-01T00:00:00Z"}, {"?deliver_by": "past"}),
        ({"body": "Hi", "send_at": "2020-01-01T00:00:00Z"}, {"?send_at": "past"}),
        ({"body": "Hi", "send_at": "2999-01-01T00:00:00Z"}, {"?send_at": "out_of_range"}),
        ({"body": "Hi", "callback_url": "http://127.0.0.1/"}, {"?callback_url": "invalid"}),
        ({"body": "Hi", "on_failure": "{"}, {"?on_failure": "wrong_type"}),
        ({"body": "Hi", "on_failure": '{"steps": []}'}, {"?on_failure": "too_short"}),
        ({"body": "Hi", "sensitive": "perhaps"}, {"?sensitive": "wrong_type"}),
        ({"body": ["Hi", "Ho"]}, {"?body": "repeated"}),
        ({"text": "Hi {{name"}, {"?text": "lone_braces"}),
        ({"text": "x" * 1601}, {"?text": "too_long"}),
        ({"text": "Hi", "template": "x"}, {"?text": "invalid"}),
        ({"text": "Hi", "body": "Hi"}, {"?body": "unknown_field"}),
        ({"text": ["Hi", "Ho"]}, {"?text": "repeated"}),
    ],
)
def test_faulty_options_are_named_and_nothing_is_stored(
    api: Api, query: dict[str, Any], expected: dict[str, str]
) -> None:
    assert faults(upload(api, CSV, **query)) == expected
    assert stored(api) == (0, 0, 0)


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        ("to,name\n", "text/csv", "no_rows"),
        ("", "text/csv", "missing_column"),
        ("to,nom\n+1,Ann\n", "text/csv", "missing_column"),
        ("to,name,x\x00\n+1,Ann,\n", "text/csv", "bad_character"),
        ("to,Name\n+1,Ann\n", "text/csv", "missing_column"),  # P06: upper and lower case differ
        (f'to,name\n{NUMBER},Ann\n{NUMBER},"Bob\n', "text/csv", "malformed_csv"),
        (b"to,name\n+14155552671,Zo\xeb\n", "text/csv", "wrong_charset"),
        (CSV, "text/csv; charset=koi8-r", "unknown_charset"),
    ],
)
def test_a_file_that_cannot_be_read_leaves_nothing(api: Api, data: str | bytes, kind: str, code: str) -> None:
    found = problem(upload(api, data, kind=kind, body="Hi {{name}}"), 400, "invalid_upload")

    assert [fault.code for fault in found.errors] == [code]
    assert stored(api) == (0, 0, 0)


def test_a_fault_at_the_very_end_leaves_nothing_of_the_rows_before(api: Api) -> None:
    numbers = "".join(f"+1415555{number:04d},Ann\n" for number in range(2500))

    problem(upload(api, f'to,name\n{numbers}"', body="Hi {{name}}"), 400, "invalid_upload")

    assert stored(api) == (0, 0, 0)


@pytest.mark.parametrize("name", ["x\x00", "x\ud800"])
def test_a_faulty_cell_is_told_whatever_its_member_is_called(api: Api, name: str) -> None:
    document = {"body": "Hi", "rows": [{"to": NUMBER, name: {"a": 1}}, {"to": NUMBER, name: "y" * 20_000}]}

    job = created(upload(api, json.dumps(document), kind="application/json"))

    assert [fault["column"] for fault in job["faults"]] == ["x", "x"]


def test_malformed_json_leaves_nothing(api: Api) -> None:
    problem(
        upload(api, '{"body": "Hi", "rows": [{"to": "+14155552671"}', kind="application/json"),
        400,
        "malformed_json",
    )
    assert faults(upload(api, '{"body": 7, "rows": []}', kind="application/json")) == {"/body": "wrong_type"}
    assert stored(api) == (0, 0, 0)


def test_other_kinds_of_bodies_and_too_large_ones_are_refused(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem(upload(api, CSV, kind="text/plain", body="Hi"), 415, "unsupported_media_type")
    monkeypatch.setattr(web_uploads, "MAX_UPLOAD_BYTES", 1000)
    problem(upload(api, "to\n" + "x" * 1000, body="Hi"), 413, "too_large")
    assert stored(api) == (0, 0, 0)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data; boundary=x"])
def test_options_that_would_be_ignored_are_refused(api: Api, kind: str) -> None:
    response = upload(
        api, '{"body": "Hi", "rows": [{"to": "+14155552671"}]}', kind=kind, start="true", colour="red"
    )

    assert faults(response) == {"?start": "unknown_field", "?colour": "unknown_field"}
    assert stored(api) == (0, 0, 0)


def test_an_upload_larger_than_other_bodies_may_be_is_taken(api: Api) -> None:
    numbers = "".join(f"+1415555{number:04d}\n" for number in range(9000))

    job = created(upload(api, f"to\n{numbers}", body="Hi"))

    assert (len(numbers) > 64 * 1024, job["counts"]["waiting"]) == (True, 9000)


def test_the_same_key_creates_one_job(api: Api) -> None:
    key = {"Idempotency-Key": "k-1"}

    first, again = (upload(api, CSV, headers=key, body="Hi {{name}}") for _ in range(2))

    assert created(again) == created(first)
    assert again.headers["Idempotent-Replayed"] == "true"
    problem(upload(api, CSV, headers=key, body="Ho {{name}}"), 422, "idempotency_key_reused")
    problem(upload(api, CSV + "\n", headers=key, body="Hi {{name}}"), 422, "idempotency_key_reused")
    assert stored(api) == (1, 2, 0)


def test_the_boundary_of_a_form_is_no_part_of_the_request(api: Api) -> None:
    def post(boundary: str) -> TestResponse:
        body = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="body"\r\n\r\nHi\r\n'
            f'--{boundary}\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n{CSV}\r\n'
            f"--{boundary}--\r\n"
        )
        kind = f"multipart/form-data; boundary={boundary}"
        return upload(api, body, kind=kind, headers={"Idempotency-Key": "k-1"})

    assert created(post("aaa")) == created(post("bbb"))
    assert stored(api)[0] == 1


def test_start_begins_at_once(api: Api) -> None:
    job = created(upload(api, CSV, body="Hi {{name}}", start="true"))

    assert job["state"] == "running"
    assert job["started_at"] is not None


def test_a_job_goes_only_where_it_can(api: Api) -> None:
    path = f"/sms/jobs/{created(upload(api, CSV, body='Hi {{name}}'))['id']}"

    def ask(command: str) -> TestResponse:
        return api.post(path=f"{path}/{command}")

    problem(ask("pause"), 409, "wrong_job_state")
    problem(ask("resume"), 409, "wrong_job_state")
    for command, state in [
        ("start", "running"),
        ("start", "running"),
        ("pause", "paused"),
        ("resume", "running"),
        ("cancel", "canceled"),
        ("cancel", "canceled"),
    ]:
        answer = ask(command)
        assert (answer.status_code, answer.json["state"]) == (200, state)
    assert answer.json["counts"] | {"canceled": 2, "waiting": 0} == answer.json["counts"]
    problem(ask("start"), 409, "wrong_job_state")


def test_jobs_are_listed_newest_first_page_by_page(api: Api) -> None:
    ids = [created(upload(api, CSV, body=f"Hi {{{{name}}}} {number}"))["id"] for number in range(3)]
    api.post(path=f"/sms/jobs/{ids[1]}/cancel")

    first = api.get("/sms/jobs", limit=2)
    JobList.model_validate_json(first.data)
    second = api.get("/sms/jobs", limit=2, cursor=first.json["next_cursor"])

    assert [job["id"] for job in first.json["data"] + second.json["data"]] == ids[::-1]
    assert [job["id"] for job in api.get("/sms/jobs", state="canceled").json["data"]] == [ids[1]]
    assert faults(api.get("/sms/jobs", cursor="x")) == {"?cursor": "invalid"}
    assert faults(api.get("/sms/jobs", colour="red")) == {"?colour": "unknown_field"}


@pytest.mark.parametrize("path", ["job_" + "0" * 32, "nonsense"])
def test_there_is_no_such_job(api: Api, path: str) -> None:
    problem(api.get(f"/sms/jobs/{path}"), 404, "job_not_found")
    problem(api.get(f"/sms/jobs/{path}/results.csv"), 404, "job_not_found")
    problem(api.post(path=f"/sms/jobs/{path}/start"), 404, "job_not_found")


def test_a_spreadsheet_runs_nothing_out_of_the_results(api: Api) -> None:
    job = created(upload(api, f'to,client_reference\n=1+1,@x\n{NUMBER},"-1"\n', body="Hi"))

    first, second = api.get(f"/sms/jobs/{job['id']}/results.csv").text.splitlines()[1:]

    assert first.startswith("2,'=1+1,'@x,faulty,")
    assert second.startswith(f"3,{NUMBER},'-1,waiting,")


def test_an_upload_left_by_a_dead_process_is_swept_away(api: Api) -> None:

    created(upload(api, CSV, body="Hi {{name}}"))
    with api.rt.sessions.begin() as session:
        job = session.scalars(select(BulkJob)).one()
        job.state = "uploading"
        job_id = job.id
    assert api.get("/sms/jobs").json["data"] == []

    assert discard_uploads(api.rt) == 0
    with api.rt.sessions.begin() as session:
        left = session.get(BulkJob, job_id)
        assert left is not None
        left.created_at -= UPLOAD_AGE + timedelta(seconds=1)

    assert discard_uploads(api.rt) == 1
    assert stored(api) == (0, 0, 0)


def test_the_cost_is_estimated_from_the_price_list(settings: Settings, api_key: str) -> None:
    prices = {"US": Decimal("0.0083"), "DE": Decimal("0.0895")}
    priced = settings.model_copy(update={"price_per_segment": prices})
    file = f"to\n{NUMBER}\n+14155552672\n+4915123456789\n+33612345678\nnobody\n"

    with serving(priced, api_key) as api:
        job = created(upload(api, file, body="x" * 161))
    with serving(settings, api_key) as api:
        assert api.get(f"/sms/jobs/{job['id']}").json["cost_estimate"] is None

    assert job["segments_by_country"] == {"US": 4, "DE": 2, "FR": 2}
    assert job["cost_estimate"] == {"amount": "0.2122", "currency": "USD", "unpriced_segments": 2}


def test_of_two_requests_with_one_key_one_makes_the_job(api: Api) -> None:
    answers: list[TestResponse] = []

    def post() -> None:
        answers.append(upload(api, CSV, headers={"Idempotency-Key": "k-1"}, body="Hi {{name}}"))

    threads = [threading.Thread(target=post) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({created(answer)["id"] for answer in answers}) == 1
    assert stored(api) == (1, 2, 0)


# Spreadsheets as people have them; the numbers are those of the cases from the field.


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(f"sep=;\r\nto;name\r\n{NUMBER};Ann\r\n".encode(), "text/csv", id="F02"),
        pytest.param(f'to,"Given\nname",name\r\n{NUMBER},x,Ann\r\n'.encode(), "text/csv", id="F03"),
        pytest.param(f"to,\u200bname\u00a0\n{NUMBER},Ann\n".encode(), "text/csv", id="F05"),
        pytest.param(f"\ufeff\ufeffto,name\n{NUMBER},Ann\n".encode(), "text/csv", id="F05, two marks"),
        pytest.param(
            f"to\tname\r\n{NUMBER}\tAnn\r\n".encode("utf-16-le"), "text/csv; charset=utf-16", id="F06"
        ),
        pytest.param("to;name\n+1 415/555\u202f2671;Ann\n".encode(), "text/csv", id="F08"),
        pytest.param(f"\ufeffto;name\r\n{NUMBER};Ann\r\n".encode(), "text/csv", id="P01"),
        pytest.param(f'"to",name\r\n{NUMBER},Ann\r\n'.encode("utf-8-sig"), "text/csv", id="P01, quoted"),
        pytest.param(f"to\tname\r\n{NUMBER}\tAnn\r\n".encode("utf-16"), "text/csv", id="P01, UTF-16"),
        pytest.param(f"to,name\r{NUMBER},Ann\r".encode(), "text/csv", id="P05"),
    ],
)
def test_files_as_people_have_them_become_jobs(api: Api, content: bytes, kind: str) -> None:
    job = created(upload(api, content, kind=kind, body="Hi {{name}}"))

    assert (job["counts"]["waiting"], job["faults"]) == (1, [])
    with api.rt.sessions() as session:
        assert session.execute(select(BulkRow.to, BulkRow.body)).all() == [(NUMBER, "Hi Ann")]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        pytest.param(b"to,name\n+14155552671,\x96\n", "text/csv", id="P02"),
        pytest.param(CSV.encode("utf-16-le")[:-1], "text/csv; charset=utf-16", id="F06, half a character"),
    ],
)
def test_what_cannot_be_decoded_is_the_callers_fault(api: Api, content: bytes, kind: str) -> None:
    refused = problem(upload(api, content, kind=kind, body="Hi"), 400, "invalid_upload")

    assert [fault.code for fault in refused.errors] == ["wrong_charset"]


REFERENCES = st.lists(
    st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=40)
    | st.lists(st.sampled_from([*"=+-@'\t\r\n ,;\"", "a"]), min_size=1, max_size=6).map("".join),
    min_size=1,
    max_size=20,
)


@given(REFERENCES)
@hypothesis_settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_results_can_be_uploaded_again_without_a_loss(api: Api, references: list[str]) -> None:
    rows = [{"to": NUMBER, "client_reference": each} for each in references]
    document = {"body": "Hi", "allow_duplicates": True, "rows": rows}
    first = created(upload(api, json.dumps(document), kind="application/json"))
    results = api.get(f"/sms/jobs/{first['id']}/results.csv").data

    again = created(upload(api, results, body="Hi", allow_duplicates="true"))

    assert (again["rows"], again["faults"]) == (len(references), [])
    with api.rt.sessions() as session:
        query = select(BulkRow.client_reference).where(BulkRow.job_id == parse_job_id(again["id"]))
        assert list(session.scalars(query.order_by(BulkRow.number))) == references
    cells = [cell for row in csv.reader(io.StringIO(results.decode(), newline="")) for cell in row]
    assert [cell for cell in cells if cell[:1] in {*"=-@\t\r"} or re.match(r"\+(?!\d+$)", cell)] == []


SID = "HX" + "1" * 32


@pytest.mark.parametrize("kind", ["json", "csv", "form"])
def test_a_job_may_send_a_content_template(api: Api, kind: str) -> None:
    options: dict[str, Any] = {"content_sid": SID, "risk_check": "disable", "start": True}
    variables = {"1": "{{name}}", "greeting": "Hi"}
    if kind == "json":
        rows = [{"to": NUMBER, "name": "Ann"}, {"to": "+14155552672"}]
        document = options | {"content_variables": variables, "rows": rows}
        response = upload(api, json.dumps(document), kind="application/json")
    elif kind == "csv":
        response = upload(
            api, f"to,name\n{NUMBER},Ann\n+14155552672,\n", content_variables=json.dumps(variables), **options
        )
    else:
        file = (io.BytesIO(f"to,name\n{NUMBER},Ann\n+14155552672,\n".encode()), "rows.csv", "text/csv")
        form = options | {"start": "true", "content_variables": json.dumps(variables), "file": file}
        response = upload(api, form, kind="multipart/form-data")
    job = created(response)

    assert (job["content_sid"], job["content_variables"], job["risk_check"]) == (SID, variables, "disable")
    assert (job["counts"]["waiting"], job["counts"]["faulty"], job["segments"]) == (1, 1, 1)
    feed_jobs(api.rt, idle_s=0.2)
    (message,) = messages(api)
    assert (message.to, message.body) == (NUMBER, "")
    assert message.options == {
        "content_sid": SID,
        "content_variables": {"1": "Ann", "greeting": "Hi"},
        "risk_check": "disable",
    }
    with api.rt.sessions() as session:
        assert {row.content_variables for row in session.scalars(select(BulkRow))} == {None}


def test_a_job_may_send_media_with_and_without_a_text(api: Api) -> None:
    media = ["https://example.com/a.png", "https://example.com/b.png"]

    alone = created(upload(api, f"to\n{NUMBER}\n", media_urls=media, start=True))
    beside = created(upload(api, f"to\n{NUMBER}\n", media_urls=media[0], text="Hi", start=True))
    feed_jobs(api.rt, idle_s=0.2)

    assert [job["media_urls"] for job in (alone, beside)] == [media, media[:1]]
    assert sorted((each.body, each.media_urls) for each in messages(api)) == [("", media), ("Hi", media[:1])]


def test_a_sensitive_job_keeps_no_variables(api: Api) -> None:
    document = {
        "content_sid": SID,
        "content_variables": {"1": "{{name}} secret"},
        "sensitive": True,
        "rows": [{"to": NUMBER, "name": "Ann"}],
    }
    job = created(upload(api, json.dumps(document), kind="application/json"))

    with api.rt.sessions() as session:
        assert session.scalars(select(BulkJob.options)).one() == {"content_sid": SID}
        assert session.scalars(select(BulkRow.content_variables)).one() == {"1": "Ann secret"}
    assert job["content_variables"] is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, {"/body": "required"}),
        ({"body": "\u200b"}, {"/body": "invalid"}),
        ({"content_sid": SID, "body": "Hi"}, {"/body": "invalid"}),
        ({"body": "Hi", "shorten_urls": True}, {"/shorten_urls": "invalid"}),
        ({"content_sid": SID, "content_variables": {"1": "{{"}}, {"/content_variables/1": "lone_braces"}),
    ],
)
def test_a_job_that_twilio_would_refuse_is_refused(
    api: Api, options: dict[str, Any], expected: dict[str, str]
) -> None:
    document = options | {"rows": [{"to": NUMBER}]}

    assert faults(upload(api, json.dumps(document), kind="application/json")) == expected


def test_a_placeholder_of_a_variable_needs_its_column(api: Api) -> None:
    response = upload(api, CSV, content_sid=SID, content_variables='{"1": "{{nick}}"}')

    assert "nick" in response.json["detail"]


def messages(api: Api) -> list[Message]:
    with api.rt.sessions() as session:
        return list(session.scalars(select(Message)))


@pytest.mark.parametrize(
    ("first", "again"),
    [
        (
            {"body": "Hi {{a}}", "rows": [{"to": NUMBER, "a": "x"}]},
            {"rows": [{"a": "x", "to": NUMBER, "b": None}], "body": "Hi {{a}}", "start": False},
        ),
    ],
)
def test_an_upload_that_means_the_same_is_the_same(
    api: Api, first: dict[str, Any], again: dict[str, Any]
) -> None:
    answers = [
        upload(
            api,
            json.dumps(document, indent=indent),
            kind="application/json",
            headers={"Idempotency-Key": "k"},
        )
        for document, indent in ((first, None), (again, 2))
    ]

    assert [response.status_code for response in answers] == [201, 201], answers[1].text
    assert answers[0].json == answers[1].json
    other = first | {"rows": [{"to": NUMBER, "a": "y"}]}
    response = upload(api, json.dumps(other), kind="application/json", headers={"Idempotency-Key": "k"})
    assert response.status_code == 422


def test_csv_with_its_options_in_another_order_is_the_same(api: Api) -> None:
    answers = [
        upload(api, CSV, headers={"Idempotency-Key": "k"}, **options)
        for options in ({"body": "Hi", "name": "n"}, {"name": "n", "text": "Hi", "start": "false"})
    ]

    assert [response.status_code for response in answers] == [201, 201]
    assert answers[0].json == answers[1].json
