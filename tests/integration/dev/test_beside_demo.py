"""Beside a running `make demo`, every command of docs/operations.md works, with nothing to set."""

import json
import re
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import click
import pytest
import urllib3

from smsapp.breakers import queries as breakers
from smsapp.callbacks import dead_letters
from smsapp.cli.main import main
from smsapp.db.engine import make_sessions
from tests.support.consumer import Consumer, accept
from tests.support.demo import READY, copy_tree, demo, environment, read_until

PAGE = Path(__file__).resolve().parents[3] / "docs" / "operations.md"
QUICK = {
    "SWEEP_EVERY": "1s",
    "UNCONFIRMED_LOOKUP_AFTER": "1s",
    "UNCONFIRMED_GRACE": "1s",
    "COUNTRY_CAPS": "FR=0",
}
"""So that something is unconfirmed, and something held, within seconds."""

RECIPIENT = "+15005550123"
UNKNOWABLE = "+15005590011"  # see docs/simulator.md
CAPPED = "+33612345678"
PERSON = "+15005550177"

pytestmark = pytest.mark.slow


@dataclass(frozen=True, slots=True)
class Beside:
    """A folder in which a demo runs."""

    folder: Path
    said: str

    def __call__(self, *arguments: str, module: str = "smsapp") -> "subprocess.CompletedProcess[str]":
        """Run a command in the folder, with nothing set."""
        return subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=self.folder,
            env=environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def ok(self, *arguments: str) -> str:
        """Run a command that succeeds and return what it says."""
        done = self(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        assert "of the demo that runs in this folder" in done.stderr
        return done.stdout

    @property
    def web(self) -> str:
        """Where the service is."""
        found = re.search(r"(http://\S+)/docs", self.said)
        assert found is not None
        return found[1]

    @property
    def headers(self) -> dict[str, str]:
        """The demo's key."""
        found = re.search(r"sms_live_\S+", self.said)
        assert found is not None
        return {"Authorization": f"Bearer {found[0]}"}

    def call(self, method: str, path: str, body: object = None) -> urllib3.BaseHTTPResponse:
        """Call the API."""
        return urllib3.request(method, self.web + path, headers=self.headers, json=body)


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    clone = copy_tree(tmp_path_factory.mktemp("beside") / "a b'c")
    with demo(clone, command=("make", "demo"), changes=QUICK) as process:
        said = read_until(process.stdout, READY)
        yield Beside(clone, said)
        process.terminate()
        process.communicate(timeout=30)


# --- The commands


def check_doctor(beside: Beside) -> None:
    said = beside.ok("doctor")

    assert "ok    twilio\n" in said
    assert "ok    public address\n" in said


def check_keys(beside: Beside) -> None:
    key = beside.ok("keys", "create", "mine", "--quiet-hours", "21:00-08:00").strip()
    listed = next(line for line in beside.ok("keys", "list").splitlines() if "  mine" in line)
    prefix = listed.split()[0]

    assert key.startswith(prefix.rstrip("…"))
    assert "quiet 21:00-08:00" in listed
    beside.ok("keys", "quiet", prefix, "off")
    assert beside.ok("keys", "revoke", prefix) == "Revoked.\n"


def check_applications(beside: Beside) -> None:
    beside.ok("applications", "create", "billing")
    key = beside.ok("keys", "create", "of-billing", "--application", "billing").strip().splitlines()[-1]
    assert "billing" in beside.ok("applications", "list")

    listed = next(line for line in beside.ok("keys", "list").splitlines() if "of-billing" in line)
    prefix = listed.split()[0]
    assert key.startswith(prefix.rstrip("…"))
    assert beside.ok("keys", "rotate", prefix, "--overlap", "1h").strip().splitlines()[-1].startswith("sms_")


def check_audit(beside: Beside) -> None:
    beside.ok("keys", "create", "audited")

    assert "key.created" in beside.ok("audit", "list")
    head = beside.ok("audit", "head").strip().splitlines()[-1]
    beside.ok("audit", "verify")
    beside.ok("audit", "verify", "--head", head)


def check_people(beside: Beside) -> None:
    message_id = beside.ok("send", "--no-watch", PERSON, "About you").strip()

    assert message_id in beside.ok("person", "export", PERSON)
    beside.ok("erase", "--yes", PERSON)


def check_suppressions(beside: Beside) -> None:
    file = beside.folder / "who.csv"
    file.write_text("recipient,note\n+15005550151,asked by phone\n")

    added = beside.ok("suppressions", "add", "+15005550150", "--note", "asked by letter").split(":")[0]
    assert "1 added" in beside.ok("suppressions", "import", str(file))
    assert "+15005550150" in beside.ok("suppressions", "list", "--recipient", "+15005550150")
    assert "+15005550151" in beside.ok("suppressions", "export")
    assert beside.ok("suppressions", "lift", added, "--note", "asked again") == "Lifted.\n"


def check_send(beside: Beside) -> None:
    said = beside.ok("send", RECIPIENT, "Hello")

    assert "delivered" in said
    assert "delivered" in beside.ok("watch", said.split()[0])


def check_books(beside: Beside) -> None:
    assert "The ledger balances." in beside.ok("ledger")
    assert "0 differences" in beside.ok("refold", "--check")


def check_dead_letters(beside: Beside) -> None:
    sessions = make_sessions(f"sqlite:///{beside.folder}/var/smsapp.db", pool_size=1)
    letters = [uuid4(), uuid4()]
    with sessions.begin() as session:
        for letter in letters:
            dead_letters.add(
                session, id=letter, kind="callback", payload={}, cause="made by a test", now=datetime.now(UTC)
            )
    sessions.kw["bind"].dispose()

    assert f"{letters[0]}" in beside.ok("dead", "list")
    replayed = beside("dead", "replay", str(letters[0]))
    assert "still cannot be processed" in replayed.stdout, replayed.stderr
    assert "still cannot be processed" in beside("dead", "replay", "--all").stdout
    assert "made by a test" in beside.ok("dead", "show", str(letters[0]))
    assert beside.ok("dead", "close", *map(str, letters)) == "2 closed\n"


def check_breakers(beside: Beside) -> None:
    sessions = make_sessions(f"sqlite:///{beside.folder}/var/smsapp.db", pool_size=1)
    now = datetime.now(UTC)
    with sessions.begin() as session:
        breakers.trip(
            session,
            "+15005550099",
            parked=True,
            error_code=30034,
            reason="made by a test",
            now=now,
            probe_at=now + timedelta(hours=1),
        )
    sessions.kw["bind"].dispose()

    assert "+15005550099  parked" in beside.ok("breaker", "list")
    assert beside.ok("breaker", "release", "+15005550099") == "Released.\n"


def check_held(beside: Beside) -> None:
    beside.ok("send", "--no-watch", CAPPED, "Bonjour")

    assert "FR  country_cap  1" in eventually(lambda: beside.ok("held", "list"), "FR")
    assert beside.ok("held", "release", "--country", "FR") == "1 released\n"


def check_unconfirmed(beside: Beside) -> None:
    message_id = beside.ok("send", "--no-watch", UNKNOWABLE, "Who knows?").strip()

    assert message_id in eventually(lambda: beside.ok("unconfirmed", "list"), message_id)
    assert f"{message_id}: done" in beside.ok("unconfirmed", "decide", "fail", message_id)


def check_database(beside: Beside) -> None:
    assert beside.ok("db", "upgrade") == "The database is up to date.\n"


CHECKS: dict[str, Callable[[Beside], None]] = {
    "doctor": check_doctor,
    "db upgrade": check_database,
    "keys create": check_keys,
    "keys list": check_keys,
    "applications create": check_applications,
    "applications list": check_applications,
    "keys rotate": check_applications,
    "audit list": check_audit,
    "audit head": check_audit,
    "audit verify": check_audit,
    "erase": check_people,
    "person export": check_people,
    "keys quiet": check_keys,
    "keys revoke": check_keys,
    "suppressions list": check_suppressions,
    "suppressions add": check_suppressions,
    "suppressions lift": check_suppressions,
    "suppressions import": check_suppressions,
    "suppressions export": check_suppressions,
    "send": check_send,
    "watch": check_send,
    "ledger": check_books,
    "refold": check_books,
    "dead list": check_dead_letters,
    "dead replay": check_dead_letters,
    "dead show": check_dead_letters,
    "dead close": check_dead_letters,
    "breaker list": check_breakers,
    "breaker release": check_breakers,
    "held list": check_held,
    "held release": check_held,
    "unconfirmed list": check_unconfirmed,
    "unconfirmed decide": check_unconfirmed,
}


def eventually(look: Callable[[], str], wanted: str) -> str:
    """Return what a command says once it says what is wanted, or at last."""
    deadline = time.monotonic() + 30
    while wanted not in (said := look()) and time.monotonic() < deadline:
        time.sleep(0.2)
    return said


def commands_of(page: str) -> set[str]:
    """Return the commands that a page names in code: with `python -m smsapp`, without it, or without their group."""
    found = set()
    for line in page.splitlines():
        group: click.Group = main
        pieces = re.findall(r"`([^`]+)`", line) or [line]
        for piece in pieces:
            words = piece.removeprefix("$ ").removeprefix("python -m smsapp ").split()
            for start in (main, group):
                names, command = resolve(words, start)
                if names and isinstance(command, click.Group):
                    group = command
                elif names:
                    found.add(" ".join([*(path_of(start)), *names]))
                    group = parent_of(names, start)
                    break
    return found


def path_of(group: click.Group) -> list[str]:
    return [] if group is main else [str(group.name)]


def parent_of(names: list[str], start: click.Group) -> click.Group:
    parent = start
    for name in names[:-1]:
        inner = parent.commands[name]
        assert isinstance(inner, click.Group)
        parent = inner
    return parent


def resolve(words: list[str], start: click.Group) -> tuple[list[str], click.Command]:
    """Follow the words into the command line as far as they name commands."""
    names: list[str] = []
    command: click.Command = start
    for word in words:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        command = command.commands[word]
        names.append(word)
    return names, command


def test_every_command_of_the_page_is_run() -> None:
    named = commands_of(PAGE.read_text())

    assert named >= {"doctor", "suppressions export", "unconfirmed decide"}
    assert named - CHECKS.keys() == set()


@pytest.mark.parametrize("check", dict.fromkeys(CHECKS.values()), ids=lambda check: check.__name__)
def test_the_commands_work_beside_the_demo(beside: Beside, check: Callable[[Beside], None]) -> None:
    check(beside)


# --- What else the page says


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_what_machines_ask_is_answered(beside: Beside, path: str) -> None:
    assert beside.call("GET", path).status == 200


def test_the_backup_and_the_statements_for_a_restored_one_work(beside: Beside) -> None:
    page = PAGE.read_text()
    backup = re.search(r"python (-c) '(.+sqlite3.+)'", page)
    statements = [
        block for block in re.findall(r"```sql\n(.+?)```", page, re.DOTALL) if "interval" not in block
    ]  # that one says that it is PostgreSQL's
    assert backup is not None
    assert statements

    subprocess.run([sys.executable, backup[1], backup[2]], cwd=beside.folder, check=True)

    with sqlite3.connect(beside.folder / "backup.db") as database:
        for statement in statements:
            database.executescript(statement)


# --- Consumers


def test_a_consumer_on_this_machine_is_told(beside: Beside) -> None:
    with Consumer(accept) as consumer:
        for url in (f"http://127.0.0.1:{consumer.port}/hook", f"http://localhost:{consumer.port}/hook"):
            made = beside.call("POST", "/sms/subscriptions", {"url": url})
            assert made.status == 201, made.data
            subscription = json.loads(made.data)["id"]
            consumer.seen.clear()

            tested = beside.call("POST", f"/sms/subscriptions/{subscription}/test", {})

            assert tested.status < 300, tested.data
            assert eventually(lambda: " ".join(seen.path for seen in consumer.seen), "/hook")


def test_a_phone_writes_to_the_service_by_one_command(beside: Beside) -> None:
    done = beside("inbound", "STOP", "--from", "+15005550160", module="simulator")

    assert done.returncode == 0, done.stderr
    assert "the webhook answered 2" in done.stdout
    listed = eventually(
        lambda: beside.ok("suppressions", "list", "--recipient", "+15005550160"), "+15005550160"
    )
    assert "+15005550160" in listed


@pytest.mark.parametrize(
    ("sender", "recipient"),
    [("ACME", RECIPIENT), ("12345", RECIPIENT), ("whatsapp:+15005550006", f"whatsapp:{RECIPIENT}")],
)
def test_senders_of_every_kind_deliver(beside: Beside, sender: str, recipient: str) -> None:
    sent = beside.call("POST", "/sms/send", {"to": recipient, "body": "Hello", "from": sender})
    assert sent.status == 202, sent.data

    seen = beside.call("GET", f"/sms/messages/{json.loads(sent.data)['id']}?wait=20").json()

    assert (seen["status"], seen["from"]) == ("delivered", sender)


def test_the_demo_says_where_its_environment_is(beside: Beside) -> None:
    assert "var/demo.env" in beside.said
    assert (beside.folder / "var" / "demo.env").stat().st_mode & 0o077 == 0
