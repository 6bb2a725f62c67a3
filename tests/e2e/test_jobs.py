"""Many texts from one upload, through the running service."""

import csv
import io
import socket
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from smsapp.bulk.models import BulkJob, BulkRow
from tests.support.stack import HOST, Stack

ROWS = 600
SLOW_MS = 1000
"""What Twilio takes for a text while a test acts on a job: most of those that are stored are then still to be sent."""


def number(index: int) -> str:
    """Return a number of its own for each row, none with digits to which the simulator reacts."""
    return f"+155530{index % 20_000:05d}"


def upload(stack: Stack, file: str, **fields: str) -> dict[str, Any]:
    answer = stack.upload("/sms/jobs", fields={**fields, "file": ("people.csv", file, "text/csv")})
    assert answer.status == 201, answer.data
    document: dict[str, Any] = answer.json()
    return document


def control(stack: Stack, job_id: str, command: str) -> dict[str, Any]:
    answer = stack.request("POST", f"/sms/jobs/{job_id}/{command}")
    assert answer.status == 200, answer.data
    document: dict[str, Any] = answer.json()
    return document


def show(stack: Stack, job_id: str) -> dict[str, Any]:
    document: dict[str, Any] = stack.request("GET", f"/sms/jobs/{job_id}").json()
    return document


def results(stack: Stack, job_id: str) -> list[dict[str, str]]:
    answer = stack.request("GET", f"/sms/jobs/{job_id}/results.csv")
    return list(csv.DictReader(io.StringIO(answer.data.decode(), newline="")))


def feed(stack: Stack, after: int, kind: str) -> Iterator[dict[str, Any]]:
    """Yield every event of a type after a number: of many others, one page may have none of it."""
    more = True
    while more:
        page = stack.request("GET", f"/sms/events?after={after}&types={kind}").json()
        yield from page["data"]
        after, more = page["next_after"], page["has_more"]


def texts(stack: Stack, word: str) -> Counter[str]:
    """Return how often each text with this word reached Twilio."""
    return Counter(entry["body"] for entry in stack.ledger() if entry["body"].startswith(f"{word} "))


def test_a_job_is_paused_killed_resumed_and_every_row_is_sent_once(stack: Stack) -> None:
    lines = [f"{number(index)};{index}" for index in range(ROWS)]
    lines += [f"{number(7)};7"] * 5 + ["nobody;x", f"{number(1)};", "+1415;x"]
    job = upload(stack, "\n".join(["to;n", *lines]), body="exactly {{n}}")
    job_id = job["id"]

    assert (job["state"], job["rows"]) == ("ready", ROWS + 8)
    assert job["counts"] | {"waiting": ROWS, "duplicate": 5, "faulty": 3} == job["counts"]
    assert [fault["line"] for fault in job["faults"]] == [ROWS + 7, ROWS + 8, ROWS + 9]
    assert not texts(stack, "exactly")

    with stack.twilio_set_to(latency_ms=SLOW_MS):
        control(stack, job_id, "start")
        stack.wait_until(lambda: show(stack, job_id)["counts"]["stored"] > 0)
        paused = control(stack, job_id, "pause")["counts"]["stored"]
        assert show(stack, job_id)["counts"]["stored"] == paused < ROWS
        control(stack, job_id, "resume")
        stack.wait_until(lambda: show(stack, job_id)["counts"]["stored"] > paused)
        stack.kill("worker-1")
    stack.start("worker-1")
    stack.wait_until(lambda: show(stack, job_id)["counts"]["waiting"] == 0, timeout_s=60)

    rows = results(stack, job_id)
    assert [int(row["line"]) for row in rows] == list(range(2, ROWS + 10))
    assert Counter(row["state"] for row in rows) == {"stored": ROWS, "duplicate": 5, "faulty": 3}
    bodies = {
        key: message.body for key, message in stack.rows().items() if message.body.startswith("exactly ")
    }
    assert [bodies[row["message_id"]] for row in rows[:ROWS]] == [f"exactly {n}" for n in range(ROWS)]
    assert len(bodies) == ROWS
    assert set(texts(stack, "exactly").values()) == {1}


def test_a_job_is_completed_with_its_last_message_and_that_is_told(stack: Stack) -> None:
    begin = stack.request("GET", "/sms/events?limit=1").json()["latest"]
    file = "\n".join(["to;n", *(f"{number(index)};{index}" for index in range(50)), "nobody;x"])
    job_id = upload(stack, file, body="complete {{n}}", start="true")["id"]

    stack.wait_until(lambda: show(stack, job_id)["finished_at"] is not None)

    done = show(stack, job_id)
    assert (done["state"], done["outcomes"], done["in_flight"]) == ("completed", {"delivered": 50}, 0)
    assert texts(stack, "complete") == {f"complete {index}": 1 for index in range(50)}
    assert Counter(row["outcome"] for row in results(stack, job_id)) == {"delivered": 50, "": 1}
    listed = stack.request("GET", f"/sms/messages?job_id={job_id}&limit=200").json()["data"]
    assert Counter(message["status"] for message in listed) == {"delivered": 50}
    told = [event["data"] for event in feed(stack, begin, "job.completed") if event["data"]["id"] == job_id]
    assert [(data["state"], data["outcomes"]) for data in told] == [("completed", {"delivered": 50})]


def test_json_rows_and_a_template_keep_their_words_whatever_becomes_of_it(stack: Stack) -> None:
    name = f"promise-{stack.kind}"
    path = f"/sms/templates/{name}/versions"
    stack.request("POST", "/sms/templates", {"name": name, "body": "promise {{n}}"})
    rows = [{"to": number(index), "n": str(index), "client_reference": f"row-{index}"} for index in range(3)]

    job = stack.request("POST", "/sms/jobs", {"template": name, "rows": [*rows, {"to": number(3)}]}).json()
    changed = stack.request("POST", path, {"body": "something else {{n}}"})
    control(stack, job["id"], "start")
    stack.wait_until(lambda: show(stack, job["id"])["finished_at"] is not None)

    assert (job["counts"]["waiting"], job["counts"]["faulty"], changed.status) == (3, 1, 201)
    assert texts(stack, "promise") == {f"promise {index}": 1 for index in range(3)}
    assert [(row["client_reference"], row["outcome"]) for row in results(stack, job["id"])] == [
        *((f"row-{index}", "delivered") for index in range(3)),
        ("", ""),
    ]


def test_a_canceled_job_sends_no_more(stack: Stack) -> None:
    file = "\n".join(["to", *(number(index) for index in range(1500))])
    with stack.twilio_set_to(latency_ms=SLOW_MS):
        job = upload(stack, file, body="sent in part", start="true")
        stack.wait_until(lambda: show(stack, job["id"])["counts"]["stored"] > 0)
        canceled = control(stack, job["id"], "cancel")
        stack.wait_until(lambda: show(stack, job["id"])["finished_at"] is not None, timeout_s=60)

    done = show(stack, job["id"])
    counts, outcomes = done["counts"], Counter(done["outcomes"])
    assert counts["stored"] == canceled["counts"]["stored"] < 1500
    assert counts["stored"] + counts["canceled"] == 1500
    assert outcomes["canceled"] > 0
    assert outcomes["canceled"] + outcomes["delivered"] == counts["stored"]
    assert sum(entry["body"] == "sent in part" for entry in stack.ledger()) == outcomes["delivered"]


def test_an_upload_that_is_cut_leaves_nothing(stack: Stack) -> None:
    def stored() -> tuple[int, int]:
        with stack.database() as session:
            jobs, rows = (
                session.scalar(select(func.count()).select_from(kind)) for kind in (BulkJob, BulkRow)
            )
        return jobs or 0, rows or 0

    before = stored()
    rows = b"to\n" + b"+14155552671\n" * 1000
    form = (
        b'--cut\r\nContent-Disposition: form-data; name="body"\r\n\r\ncut\r\n'
        b'--cut\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
    )
    for kind, framing, body in (
        ("text/csv", "Content-Length: 1000000", rows),
        ("text/csv", "Transfer-Encoding: chunked", b"%x\r\n%b\r\n4000\r\n+1415" % (len(rows), rows)),
        ("multipart/form-data; boundary=cut", "Content-Length: 1000000", form + rows),
        ("application/json", "Content-Length: 1000000", b'{"body": "cut", "rows": [{"to": "+14155552671"}, '),
    ):
        with socket.create_connection((HOST, stack.ports["web"]), timeout=5) as connection:
            head = (
                f"POST /sms/jobs?body=cut&start=true HTTP/1.1\r\nHost: {HOST}\r\n"
                f"Authorization: Bearer {stack.api_key}\r\nContent-Type: {kind}\r\n{framing}\r\n\r\n"
            )
            connection.sendall(head.encode() + body)
            connection.shutdown(socket.SHUT_WR)
            answer = connection.recv(4096)
        assert answer == b"" or answer.startswith(b"HTTP/1.1 400 ")

    assert stack.request("GET", "/sms/jobs?limit=1").status == 200
    assert stored() == before
    assert not [entry for entry in stack.ledger() if entry["body"] == "cut"]


def test_a_chunked_upload_is_taken(stack: Stack) -> None:
    rows = "".join(f"{number(index)}\n" for index in range(3000)).encode()

    answer = stack.upload("/sms/jobs?body=chunked", iter([b"to\n", rows[:9999], rows[9999:]]))

    assert answer.status == 201, answer.data
    assert answer.json()["counts"]["waiting"] == 3000


def test_the_command_line_sends_a_file_and_tells_what_became_of_it(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "people.csv"
    file.write_text(f"to,name\n{number(1)},Ann\n{number(2)},Bob\nnobody,Eve\n")
    environment = {"SMSAPP_URL": stack.url(), "SMSAPP_API_KEY": stack.api_key}
    template = f"greeting-{stack.kind}"
    created = stack.request("POST", "/sms/templates", {"name": template, "body": "cli {{name}}"})
    assert created.status == 201

    options = ["--template", template, "--tag", "cli", "--sensitive", "--yes"]
    done = stack.cli("jobs", "send", str(file), *options, check=False, **environment)
    job_id = done.stdout.split()[0]
    listed = stack.cli("jobs", "list", **environment)
    fetched = stack.cli("jobs", "results", job_id, **environment)
    again = stack.cli("jobs", "start", job_id, check=False, **environment)

    assert done.returncode == 1  # a row was faulty
    assert "3 rows: 1 faulty, 2 waiting" in done.stdout
    assert "completed: 2 delivered" in done.stdout
    assert "line 4 (to): Must be in E.164 form" in done.stderr
    assert f"{job_id}  completed  2/3 rows" in listed.stdout
    rows = list(csv.DictReader(io.StringIO(fetched.stdout)))
    assert [row["outcome"] for row in rows] == ["delivered", "delivered", ""]
    sent = stack.rows()[rows[0]["message_id"]]
    assert (sent.tags, sent.sensitive) == (["cli"], True)
    assert "The job is completed; it cannot be asked to start." in again.stderr
