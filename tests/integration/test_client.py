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
from standardwebhooks.webhooks import Webhook

from dev.ports import free_port
from dev.servers import PostgresServer
from tests.stack import DATABASES, HOST, ROOT, Stack

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
    assert [event.data["id"] for event in events][-5:] == sent
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
