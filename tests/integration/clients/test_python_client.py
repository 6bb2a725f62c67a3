"""The Python client and the examples, against the real web process."""

import base64
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from smsapp_client import (
    Client,
    Conflict,
    Fault,
    InvalidRequest,
    InvalidSignature,
    NotFound,
    Refused,
    Unauthorized,
    Unavailable,
    Unreachable,
    verify,
)
from sqlalchemy import select
from standardwebhooks.webhooks import Webhook

from dev.ports import free_port
from dev.servers import PostgresServer
from smsapp.ids import parse_job_id, parse_public_id
from smsapp.messages.models import Message
from tests.support.stack import DATABASES, HOST, ROOT, Stack

TO = "+14155552671"
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
EVENT = b'{"id":"evt_1","seq":7,"type":"message.sent","timestamp":"2026-11-23T12:00:00.000Z","data":{"id":"msg_1"}}'
API = ROOT / "docs/api.md"
VERIFIERS = {
    "python": (
        [sys.executable, "-c"],
        "import json, sys\nbody, headers, secret = json.load(sys.stdin)\n{}\nprint(json.dumps(event))",
    ),
    "js": (
        ["node", "--input-type=module", "--eval"],
        (
            "import fs from 'node:fs';\n{}\nconst given = JSON.parse(fs.readFileSync(0, 'utf8'));\n"
            "console.log(JSON.stringify(verify(...given)));"
        ),
    ),
}
"""How to run a documented piece of code: it reads body, headers and secret, and prints the event."""

COMMANDS = {"send.sh": ["sh"], "send.py": [sys.executable], "send.mjs": ["node"]}


@pytest.fixture(scope="module", params=DATABASES)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A web process and nothing else: what is accepted stays pending."""
    postgres: PostgresServer | None = None
    if request.param == "postgres":
        postgres = request.getfixturevalue("postgres_server")
    folder = tmp_path_factory.mktemp(f"client_{request.param}_")
    with Stack(folder, database=request.param, postgres=postgres, only={"web"}) as stack:
        yield stack


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """A client of that process."""
    with Client(stack.url(), stack.api_key) as client:
        yield client


class Moody(ThreadingHTTPServer):
    """Answers with what it is told, one after the other, and remembers the keys it was given."""

    def __init__(self, *answers: tuple[int, bytes]) -> None:
        super().__init__((HOST, 0), _Handler)
        self.answers = list(answers)
        self.keys: list[str | None] = []

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{HOST}:{self.server_port}"

    def __enter__(self) -> "Moody":
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()
        return self

    def __exit__(self, *_ended: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Moody

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.keys.append(self.headers["Idempotency-Key"])
        status, body = self.server.answers.pop(0)
        if status:  # 0 closes the connection without an answer
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Retry-After", "0")
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, *_said: object) -> None:
        """Keep quiet."""


def test_a_sent_text_can_be_read_waited_for_and_canceled(client: Client) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)

    sent = client.send(TO, "hello", tags=["spring"], client_reference="order-7", send_at=later)

    assert (sent.to, sent.body, sent.tags, sent.client_reference) == (TO, "hello", ("spring",), "order-7")
    assert client.get(sent.id) == client.wait(sent.id, timeout_s=0) == sent
    assert client.cancel(sent.id).outcome == "canceled"
    assert client.wait(sent.id).outcome == "canceled"


def test_a_repeated_key_sends_nothing_new_and_another_text_is_refused(client: Client) -> None:
    first = client.send(TO, "once", idempotency_key="client-once")

    assert client.send(TO, "once", idempotency_key="client-once").id == first.id
    with pytest.raises(Refused) as refused:
        client.send(TO, "twice", idempotency_key="client-once")
    assert refused.value.code == "idempotency_key_reused"


def test_all_messages_come_page_after_page(client: Client) -> None:
    sent = [client.send(TO, f"page {number}", client_reference="pages").id for number in range(5)]

    found = [message.id for message in client.messages(client_reference="pages", page_size=2)]

    assert found == sent[::-1]


def test_events_come_in_order_without_gaps_after_a_number(client: Client) -> None:
    sent = [client.send(TO, f"event {number}").id for number in range(5)]

    events = list(client.events(page_size=2))
    assert [event.seq for event in events] == list(range(events[0].seq, events[0].seq + len(events)))
    assert [event.data["id"] for event in events[-5:]] == sent
    assert list(client.events(after=events[-2].seq)) == events[-1:]
    assert next(client.events(after=events[-2].seq, follow=True)) == events[-1]


def test_refusals_are_typed_and_name_the_faults(stack: Stack, client: Client) -> None:
    with pytest.raises(InvalidRequest) as invalid:
        client.send(TO, "", colour="red")
    assert {(fault.pointer, fault.code) for fault in invalid.value.faults} == {
        ("/body", "too_short"),
        ("/colour", "unknown_field"),
    }
    assert isinstance(invalid.value.faults[0], Fault)
    with pytest.raises(NotFound):
        client.get("msg_01890a5d96a07c4b9f3e2d1c0b0a0908")
    with pytest.raises(Unauthorized), Client(stack.url(), "wrong") as stranger:
        stranger.get("msg_01890a5d96a07c4b9f3e2d1c0b0a0908")
    with pytest.raises(ValueError, match="dry run"):
        client.send(TO, "hello", dry_run=True)


def test_what_may_pass_is_repeated_with_the_same_key() -> None:
    conflict = (409, b'{"code": "too_late_to_cancel", "detail": "Too late."}')
    with (
        Moody((503, b""), (0, b""), (502, b"<html>"), conflict) as service,
        Client(service.url, "k") as client,
    ):
        with pytest.raises(Conflict):
            client.send(TO, "hello")

        assert len(service.keys) == 4
        assert len(set(service.keys)) == 1
        assert service.keys[0]


def test_patience_has_an_end() -> None:
    with Moody(*[(503, b'{"code": "overloaded"}')] * 3) as service:
        with Client(service.url, "k", retries=2) as client, pytest.raises(Unavailable) as unavailable:
            client.send(TO, "hello")
        assert (unavailable.value.code, len(service.keys)) == ("overloaded", 3)
    with Client(f"http://{HOST}:{free_port()}", "k", retries=1) as client, pytest.raises(Unreachable):
        client.send(TO, "hello")


def signed(at: datetime) -> dict[str, str]:
    """Return the headers of a request that carries the event."""
    signature = Webhook(SECRET).sign("evt_1", at, EVENT.decode())
    return {
        "Webhook-Id": "evt_1",
        "Webhook-Timestamp": str(int(at.timestamp())),
        "Webhook-Signature": f"v1,AAAA {signature}",
    }


def test_a_signed_event_is_verified_and_a_forged_or_old_one_is_not() -> None:
    now = datetime.now(UTC)

    assert verify(EVENT, signed(now), SECRET).seq == 7

    for body, headers, secret in (
        (EVENT.replace(b"7", b"8"), signed(now), SECRET),
        (EVENT, signed(now), "whsec_AAAA"),
        (EVENT, signed(now), "not base64"),
        (EVENT, signed(now - timedelta(minutes=6)), SECRET),
        (EVENT, signed(now) | {"Webhook-Timestamp": "soon"}, SECRET),
        (EVENT, {}, SECRET),
    ):
        with pytest.raises(InvalidSignature):
            verify(body, headers, secret)


@pytest.mark.parametrize("language", VERIFIERS)
def test_the_documented_ways_to_verify_tell_true_from_forged_and_old(language: str) -> None:
    command, program = VERIFIERS[language]
    program = program.replace("{}", next(code for code in documented(language) if "verify" in code))

    def verified(body: bytes, headers: dict[str, str], secret: str = SECRET) -> object:
        """Return the event, or None when it is refused."""
        lower = {name.lower(): value for name, value in headers.items()}  # as Node gives them
        given = json.dumps([body.decode(), lower, secret])
        done = run([*command, program], given=given)
        return json.loads(done.stdout) if done.returncode == 0 else None

    now = datetime.now(UTC)
    assert verified(EVENT, signed(now)) == json.loads(EVENT)
    assert verified(EVENT.replace(b"7", b"8"), signed(now)) is None
    assert verified(EVENT, signed(now), "whsec_AAAA") is None
    assert verified(EVENT, signed(now - timedelta(minutes=6))) is None
    assert verified(EVENT, signed(now + timedelta(minutes=6))) is None
    assert verified(EVENT, signed(now) | {"Webhook-Timestamp": "soon"}) is None
    assert verified(EVENT, signed(now) | {"Webhook-Signature": "v1,"}) is None


def test_the_documented_way_to_a_callbacks_secret_leads_there() -> None:
    [line] = re.findall(r"`(printf .*?)`", API.read_text())

    said = run(["sh", "-c", line], environment={"KEY": "sk_live_1"}).stdout

    assert base64.b64decode(said) == hashlib.sha256(b"sk_live_1").digest()


def documented(language: str) -> list[str]:
    """Return the API's documented pieces of code in a language."""
    return re.findall(rf"(?s)```{language}\n(.*?)```", API.read_text())


def run(
    command: Sequence[str], *, given: str | None = None, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run what is documented, to its end; skip what this machine cannot run."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on this machine, so this was not run")
    return subprocess.run(
        command,
        env=os.environ | dict(environment or {}),
        input=given,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def test_a_text_is_sent_from_a_template(client: Client) -> None:
    client.templates.create("client-text", "Your order {{order}}")

    assert client.send(TO, template="client-text", values={"order": 7}).body == "Your order 7"


def test_templates_are_made_changed_listed_and_removed(client: Client) -> None:
    first = client.templates.create("client-order", "Order {{id}}")
    second = client.templates.change("client-order", "Your order {{id}}, {{name}}")

    assert (first.version, first.placeholders) == (1, ("id",))
    assert (second.version, second.placeholders) == (2, ("id", "name"))
    assert client.templates.get("client-order") == second
    assert client.templates.get("client-order", version=1) == first
    assert list(client.templates.versions("client-order", page_size=1)) == [second, first]
    assert second in list(client.templates.all(page_size=1))
    with pytest.raises(Conflict):
        client.templates.create("client-order", "x")
    client.templates.delete("client-order")
    with pytest.raises(NotFound):
        client.templates.get("client-order")


def test_a_job_of_rows_is_started_paused_resumed_and_canceled(client: Client) -> None:
    later = datetime.now(UTC) + timedelta(hours=1)
    rows = [{"to": TO, "name": "Ann", "client_reference": "o-1"}, {"to": "nobody", "name": 7}]
    options = {"body": "Hi {{name}}", "sender": "Shop", "send_at": later, "tags": ["a", "b"]}

    job = client.jobs.create(rows, idempotency_key="job-1", **options)

    assert (job.state, job.rows, job.counts["waiting"], job.raw["from"]) == ("ready", 2, 1, "Shop")
    assert job.raw["faults"][0]["code"] == "not_e164"
    assert client.jobs.create(rows, idempotency_key="job-1", **options) == job == client.jobs.get(job.id)
    assert job.id in [each.id for each in client.jobs.all(state="ready", page_size=1)]
    assert [
        control(job.id).state
        for control in (client.jobs.start, client.jobs.pause, client.jobs.resume, client.jobs.cancel)
    ] == ["running", "paused", "running", "canceled"]
    with pytest.raises(Conflict):
        client.jobs.start(job.id)
    good, bad = client.jobs.results(job.id)
    assert (good.line, good.to, good.client_reference, good.state) == (1, TO, "o-1", "canceled")
    assert (bad.state, bad.reason, bad.message_id, bad.error_code) == ("faulty", "not_e164", None, None)


def test_a_job_of_a_csv_file_has_the_same_options(client: Client) -> None:
    plan = {"steps": [{"on": ["any"], "do": "request_fallback"}]}

    job = client.jobs.create_from_csv(
        f"to;name\n{TO};Zo\xeb\n".encode("iso-8859-1"),
        charset="iso-8859-1",
        body="Hi {{name}}",
        sender="Shop",
        sensitive=True,
        on_failure=plan,
        tags=["a", "b"],
    )

    shown = client.jobs.get(job.id).raw
    assert (shown["from"], shown["sensitive"], shown["on_failure"]) == ("Shop", True, plan)
    assert (shown["tags"], shown["counts"]["waiting"], shown["segments"]) == (["a", "b"], 1, 1)


def test_the_messages_of_a_job_are_found_by_it(stack: Stack, client: Client) -> None:
    job = client.jobs.create([{"to": TO}], body="found", start=True)
    assert list(client.messages(job_id=job.id)) == []
    message = client.send(TO, "a worker would have made it of the row")
    with stack.database() as session:
        row = session.scalars(select(Message).where(Message.id == parse_public_id(message.id))).one()
        row.job_id = parse_job_id(job.id)
        session.commit()

    assert [found.id for found in client.messages(job_id=job.id)] == [message.id]


def test_who_is_not_to_be_texted_is_added_listed_lifted_and_taken_over(client: Client) -> None:
    number, other = "+14155552680", "+14155552681"

    added = client.suppressions.add(number, "Asked us.", sender="Shop")

    assert (added.recipient, added.sender, added.active, added.note) == (number, "Shop", True, "Asked us.")
    assert client.suppressions.add(number, "Asked us.", sender="Shop").id == added.id
    with pytest.raises(Refused):
        client.send(number, "hello", sender="Shop")
    assert not client.suppressions.lift(added.id, "Came back.").active
    assert not client.suppressions.get(added.id).active
    imported = client.suppressions.import_rows(
        [{"recipient": number}, {"recipient": other}, {"recipient": "x"}]
    )
    assert (imported.rows, imported.added, imported.known, len(imported.faults)) == (3, 2, 0, 1)
    assert [found.recipient for found in client.suppressions.all(page_size=1)] == [number, other]
    assert [found.id for found in client.suppressions.all(recipient=number, status="lifted")] == [added.id]


def test_a_subscription_is_made_read_rotated_recovered_and_ended(client: Client) -> None:
    made = client.subscriptions.create(
        "https://example.com/events", event_types=["message.sent"], tags=["a"], idempotency_key="sub-1"
    )

    assert made.secret is not None
    assert made.secret.startswith("whsec_")
    assert made.secret not in repr(made)
    assert (made.event_types, made.tags, made.enabled) == (("message.sent",), ("a",), True)
    again = client.subscriptions.create(
        "https://example.com/events", event_types=["message.sent"], tags=["a"], idempotency_key="sub-1"
    )
    assert (again.id, again.secret) == (made.id, made.secret)
    assert client.subscriptions.get(made.id).secret is None
    assert made.id in [found.id for found in client.subscriptions.all(page_size=1)]
    rotated = client.subscriptions.rotate_secret(made.id, overlap=timedelta(hours=1))
    assert rotated.secret not in {None, made.secret}
    assert client.subscriptions.recover(made.id, datetime.now(UTC) - timedelta(hours=1)).recovering
    client.subscriptions.delete(made.id)
    with pytest.raises(NotFound):
        client.subscriptions.get(made.id)


def test_what_would_do_harm_twice_is_asked_once() -> None:
    with (
        Moody((503, b""), (503, b""), (503, b"")) as service,
        Client(service.url, "k") as client,
    ):
        for ask in (
            lambda: client.templates.create("order", "x"),
            lambda: client.templates.change("order", "x"),
            lambda: client.subscriptions.rotate_secret("sub_1"),
        ):
            with pytest.raises(Unavailable):
                ask()

        assert len(service.keys) == 3


@pytest.mark.parametrize("name", COMMANDS)
def test_the_examples_send_and_tell(stack: Stack, client: Client, name: str) -> None:
    environment = {
        "SMSAPP_URL": stack.url(),
        "SMSAPP_API_KEY": stack.api_key,
        "WAIT": "0",
        "PYTHONPATH": str(ROOT / "clients/python"),
        "NO_PROXY": HOST,
    }

    command = [*COMMANDS[name], str(ROOT / "docs/examples" / name), TO, f"from {name}"]
    done = run(command, environment=environment)

    assert done.returncode == 0, done.stderr
    newest = next(client.messages())
    assert newest.body == f"from {name}"
    assert newest.id in done.stdout
