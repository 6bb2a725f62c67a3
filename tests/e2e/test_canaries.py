"""Texts, numbers and keys go everywhere that something can break, and are found nowhere but where they belong."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import urllib3
from sqlalchemy import text

from smsapp.callbacks.stream import STREAM
from tests.support.consumer import Consumer, refuse
from tests.support.private_traces import opened, stored_in_redis
from tests.support.stack import Stack

CRASHES = {
    "sqlite": [
        """CREATE TRIGGER canary BEFORE UPDATE ON messages WHEN OLD.tags LIKE '%canary%'
        BEGIN SELECT RAISE(ABORT, '{said}'); END""",
    ],
    "postgres": [
        """CREATE FUNCTION canary() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION '{said} %', row_to_json(OLD) USING DETAIL = row_to_json(OLD); END $$""",
        """CREATE TRIGGER canary BEFORE UPDATE ON messages FOR EACH ROW
        WHEN (OLD.tags::text LIKE '%canary%') EXECUTE FUNCTION canary()""",
    ],
}
MENDED = {
    "sqlite": ["DROP TRIGGER canary"],
    "postgres": ["DROP TRIGGER canary ON messages", "DROP FUNCTION canary"],
}


@contextmanager
def database_that_quotes_rows(stack: Stack, said: str) -> Iterator[None]:
    """Let each change of a message with the tag `canary` fail with an error that quotes it."""
    run(stack, [statement.format(said=said) for statement in CRASHES[stack.kind]])
    try:
        yield
    finally:
        run(stack, MENDED[stack.kind])


def run(stack: Stack, statements: list[str]) -> None:
    """Change the database's schema."""
    with stack.sessions.begin() as session:
        for statement in statements:
            session.execute(text(statement.replace(":", "\\:")))


def speak_badly(stack: Stack, raw: str) -> None:
    """Send bytes that may be no HTTP, and wait until the server closes or answers."""
    with socket.create_connection(("127.0.0.1", stack.ports["web"]), timeout=5) as connection:
        connection.sendall(raw.encode())
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def append_only_file(stack: Stack) -> list[list[bytes]]:
    """Return the commands that Redis has written to its append-only files."""
    commands = []
    for path in sorted((stack.folder / "redis").rglob("*.aof")):
        data, at = path.read_bytes(), 0
        while (head := re.compile(rb"\*(\d+)\r\n").match(data, at)) is not None:
            at, words = head.end(), []
            for _ in range(int(head[1])):
                length = re.compile(rb"\$(\d+)\r\n").match(data, at)
                if length is None:
                    break
                words.append(data[length.end() : length.end() + int(length[1])])
                at = length.end() + int(length[1]) + 2
            commands.append(words)
    return commands


def fetched(url: str) -> str:
    """Return a page."""
    answer = urllib3.request("GET", url, retries=False)
    assert answer.status == 200, (url, answer.data)
    return answer.data.decode("utf-8", "replace")


def test_nothing_private_is_told_on_any_path(stack: Stack) -> None:
    body = f"canary {uuid4().hex}"
    secret = f"sms_live_canary{uuid4().hex}"
    local = f"55528{uuid4().int % 10_000:04d}7"
    number = f"+1{local}"
    stack.start("flower")
    fetched(stack.url("flower") + "/api/workers?refresh=1")

    # Requests that nobody can read, and some that only break a rule.
    host = "Host: x\r\n"
    for raw in (
        f"GET /sms/messages?to={number}&body={body} HTTP/1.1\r\n{host}\r\n",
        f"POST /sms/send HTTP/1.1\r\n{host}Authorization Bearer {secret}\r\n\r\n{body}",
        f"POST /sms/send HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\n\r\n{body}{number}\r\n",
        f"POST /sms/send HTTP/1.1\r\n{host}Content-Length: {secret}\r\n\r\n{body}",
        f"{body} {number} {secret}\r\n\r\n",
        f"POST /twilio/status HTTP/1.1\r\n{host}Content-Length: 99\r\nX-Twilio-Signature: {secret}\r\n\r\nTo={number}",
        f"GET /{secret}/{local} HTTP/1.1\r\n{host}{body}: {number}\r\n\r\n",
        f"GET /livez HTTP/{secret}\r\n{host}\r\n",
        f"{secret} /livez HTTP/1.1\r\n{host}X-Request-Id: {number}\r\n\r\n",
    ):
        speak_badly(stack, raw)
    stack.request("POST", "/sms/send", {"to": body, "body": number, secret: 1})
    stack.request("GET", f"/sms/messages?recipient={local}&{secret}=1")
    stack.request("GET", "/sms/messages", headers={"Authorization": f"Bearer {secret}"})
    stack.upload("/sms/jobs", f'recipient,text\n{number},"{body}\n', kind="text/csv")

    # What goes right: a text, its callbacks, an export, and a consumer that echoes what it was sent.
    with Consumer(refuse(500, f"{body} {number} {secret}".encode())) as consumer:
        sent = stack.post(number, body, callback_url=consumer.url)
        stack.message(sent["id"], wait_s=20)
        stack.wait_until(lambda: bool(consumer.seen))
    noted = stack.request("POST", "/sms/suppressions", {"recipient": f"{number[:-1]}8", "note": body})
    assert noted.status in {200, 201}, noted.data
    assert local[:-1] in stack.request("GET", "/sms/suppressions/export.csv").data.decode()

    # A task that crashes on a database that quotes the row.
    with database_that_quotes_rows(stack, f"{body} {number} {secret}"):
        stack.post(number, body, tags=["canary"])
        stack.wait_until(lambda: failed_tasks(stack) != {}, timeout_s=20)
    stack.simulator.wait_until_idle()
    stack.wait_until_tracked()

    failures = failed_tasks(stack)
    pages = {path: fetched(stack.url("flower") + path) for path in flower_pages(failures)}
    pages["/metrics of the web"] = fetched(stack.url() + "/metrics")
    told = {**stack.logs(), **pages, **stored_in_redis(stack)}
    commands = append_only_file(stack)
    stack.stop("flower")

    canaries = (body, body.replace(" ", "%20"), secret, local)
    assert {
        name for name, said in told.items() if any(canary in opened(said) for canary in canaries)
    } == set()
    assert any(STREAM.encode() in words for words in commands)  # we did read the file
    outside = [
        b" ".join(words).decode("utf-8", "replace") for words in commands if STREAM.encode() not in words
    ]
    assert [said for said in outside if any(canary in opened(said) for canary in canaries)] == []
    everything = "\n".join(b" ".join(words).decode("utf-8", "replace") for words in commands)
    assert [canary for canary in (body, secret, stack.api_key) if canary in opened(everything)] == []
    assert [path for path in database_files(stack) if stack.api_key.encode() in path.read_bytes()] == []


def failed_tasks(stack: Stack) -> dict[str, str]:
    """Return by id what Flower tells of the error of each failed task."""
    answer = urllib3.request("GET", stack.url("flower") + "/api/tasks?state=FAILURE&limit=50", retries=False)
    return {task_id: str(task["exception"]) for task_id, task in answer.json().items()}


def flower_pages(failures: dict[str, str]) -> list[str]:
    """Return the addresses at which Flower tells of tasks and workers."""
    return [
        "/api/tasks?limit=10000", "/api/workers", "/api/task/types", "/metrics", "/tasks", "/workers", "/broker",
        *(f"/task/{task_id}" for task_id in failures),
        *(f"/api/task/info/{task_id}" for task_id in failures),
    ]  # fmt: skip


def database_files(stack: Stack) -> list[Path]:
    """Return the files of an SQLite database."""
    return sorted(stack.folder.glob("smsapp.db*"))
