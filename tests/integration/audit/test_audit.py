"""The audit log: each act is there with who and from where, in the transaction of the act, and nobody changes it."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from smsapp.audit import queries as audit
from smsapp.audit.acting import SYSTEM, Actor, act_as
from smsapp.audit.rules import Act, faults
from smsapp.breakers import queries as breakers
from smsapp.callbacks import dead_letters
from smsapp.callbacks.replay import replay_dead_letters
from smsapp.cli.main import main
from smsapp.config import Settings
from smsapp.ids import new_id
from smsapp.runtime import Runtime
from tests.support.web import Api, serving

SUBSCRIPTION = {"url": "https://consumer.example.com/hook", "headers": {"X-Secret": "hush"}}


@pytest.fixture(autouse=True)
def _as_the_service() -> Iterator[None]:
    act_as(SYSTEM)
    yield
    act_as(SYSTEM)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


@pytest.fixture
def smsapp(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Run a command on this runtime."""
    monkeypatch.setattr("smsapp.cli.operate.command_runtime", lambda: rt)
    monkeypatch.setattr("smsapp.cli.keys.settings_or_exit", lambda: rt.settings)
    monkeypatch.setattr("smsapp.cli.keys.make_sessions", lambda _url, **_options: rt.sessions)

    def run(*arguments: str, status: int = 0) -> str:
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == status, done.output
        return done.output

    return run


def acts(rt: Runtime) -> list[tuple[str, str, str | None]]:
    """Return who did what to what, in order, of a log that must be whole."""
    with rt.sessions() as session:
        audit.look_at_one_moment(session)
        found = list(audit.links(session))
        assert list(faults(found, audit.head(session))) == []
    return [(link.entry.who, link.entry.act, link.entry.subject) for link in found]


def test_what_callers_do_to_subscriptions_is_there(api: Api, rt: Runtime) -> None:
    made = api.post(SUBSCRIPTION, path="/sms/subscriptions").json["id"]
    path = f"/sms/subscriptions/{made}"
    headers = {"Authorization": f"Bearer {api.key}", "X-Request-Id": "request-1"}
    changed = api.client.patch(path, json={"url": "https://other.example.com/"}, headers=headers)
    assert changed.status_code == 200, changed.text
    assert api.post({}, path=f"{path}/rotate").status_code == 200
    since = (rt.clock() - timedelta(days=1)).isoformat()
    assert api.post({"since": since}, path=f"{path}/recover").status_code == 202
    delivery = api.post({"event_type": "message.delivered"}, path=f"{path}/test").json["id"]
    assert api.post({}, path=f"/sms/deliveries/{delivery}/resend").status_code == 202
    assert api.client.delete(path, headers=headers).status_code == 204

    who = api.key[:14]
    assert acts(rt) == [
        (who, "subscription.created", made),
        (who, "subscription.changed", made),
        (who, "subscription.secret_rotated", made),
        (who, "subscription.events_recovered", made),
        (who, "delivery.resent", delivery),
        (who, "subscription.deleted", made),
    ]
    with rt.sessions() as session:
        rows = {link.entry.act: link.entry for link in audit.links(session)}
    assert rows["subscription.changed"].details == {"changed": ["url"]}
    assert (rows["subscription.changed"].request_id, rows["subscription.changed"].address) == (
        "request-1",
        "127.0.0.1",
    )
    assert "hush" not in str(rows)
    assert "example.com" not in str(rows)


def test_a_suppression_lifted_is_there_without_the_number(api: Api, rt: Runtime) -> None:
    made = api.post({"recipient": "+14155552671"}, path="/sms/suppressions").json["id"]
    assert api.post({"note": "asked by phone"}, path=f"/sms/suppressions/{made}/lift").status_code == 200

    assert [act for _, act, subject in acts(rt) if subject == made] == [
        "suppression.added",
        "suppression.lifted",
    ]
    with rt.sessions() as session:
        assert "4155552671" not in str(list(audit.links(session)))


def test_what_is_refused_leaves_nothing(api: Api, rt: Runtime) -> None:
    missing = f"sub_{new_id().hex}"

    assert api.post({}, path=f"/sms/subscriptions/{missing}/rotate").status_code == 404
    assert api.client.post("/sms/subscriptions", json=SUBSCRIPTION).status_code == 401

    assert acts(rt) == []


def test_commands_are_there_with_who_ran_them(
    smsapp: Any, rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOGNAME", "alice")
    monkeypatch.setenv("SSH_CONNECTION", "192.0.2.7 50000 192.0.2.1 22")
    monkeypatch.setattr("smsapp.cli.main.gethostname", lambda: "host-1")
    monkeypatch.delenv("SUDO_USER", raising=False)
    prefix = smsapp("keys", "create", "billing").splitlines()[-1][:14]
    smsapp("keys", "quiet", prefix, "21:00-08:00")
    smsapp("keys", "revoke", prefix)
    smsapp("keys", "revoke", prefix, status=1)
    with rt.transaction() as tx:
        breakers.trip(
            tx.session,
            "account",
            parked=True,
            error_code=20003,
            reason="",
            now=rt.clock(),
            probe_at=rt.clock() + timedelta(hours=1),
        )
        letter = new_id()
        dead_letters.add(tx.session, id=letter, kind="callback", payload={}, cause="x", now=rt.clock())
    smsapp("breaker", "release", "account")
    smsapp("dead", "show", str(letter))
    smsapp("dead", "close", str(letter))

    who = "cli:alice@host-1"
    assert acts(rt) == [
        (who, "key.created", prefix),
        (who, "key.changed", prefix),
        (who, "key.revoked", prefix),
        (who, "breaker.released", "account"),
        (who, "dead_letter.shown", str(letter)),
        (who, "dead_letter.closed", str(letter)),
    ]
    assert "192.0.2.7" in smsapp("audit", "list", "--limit", "1")
    assert smsapp("audit", "verify") == "6 entries, all as they were written.\n"


def test_an_act_and_its_entry_are_one_transaction(rt: Runtime) -> None:
    def fail_after_recording() -> None:
        with rt.transaction() as tx:
            audit.record(tx.session, Act.KEY_CREATED, "x", now=rt.clock())
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_after_recording()

    assert acts(rt) == []
    assert replay_dead_letters(rt) == (0, 0)
    assert acts(rt) == []


def test_acts_at_the_same_moment_make_one_chain(rt: Runtime) -> None:
    barrier = threading.Barrier(8)

    def act(number: int) -> None:
        act_as(Actor(f"key{number}"))
        barrier.wait()
        for _ in range(5):
            with rt.transaction() as tx:
                audit.record(tx.session, Act.KEY_CREATED, str(number), now=rt.clock())

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(act, range(8)))

    found = acts(rt)
    assert len(found) == 40
    assert all(who == f"key{subject}" for who, _, subject in found)


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET who = 'x'", "DELETE FROM audit_log"])
def test_the_database_refuses_to_change_it(rt: Runtime, statement: str) -> None:
    with rt.transaction() as tx:
        audit.record(tx.session, Act.KEY_CREATED, "x", now=rt.clock())

    with pytest.raises(DBAPIError, match="append-only"), rt.sessions.begin() as session:
        session.execute(text(statement))

    assert len(acts(rt)) == 1


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE audit_log SET who = 'x' WHERE seq = 2", "2: the entry was changed"),
        ("DELETE FROM audit_log WHERE seq = 2", "1 entries are missing"),
        ("DELETE FROM audit_log WHERE seq = 3", "the last one stored is 2"),
        (
            "INSERT INTO audit_log SELECT 4, at, who, act, '', '', '', NULL, digest FROM audit_log WHERE seq = 3",
            "4: the entry was changed",
        ),
    ],
)
def test_whoever_gets_around_that_is_found(rt: Runtime, smsapp: Any, statement: str, said: str) -> None:
    for number in range(3):
        with rt.transaction() as tx:
            audit.record(tx.session, Act.KEY_CREATED, str(number), now=rt.clock())
    head = smsapp("audit", "head").strip()
    assert smsapp("audit", "verify", "--head", head)
    with rt.sessions.begin() as session:
        triggers = {
            "postgresql": ["DROP TRIGGER audit_log_is_append_only ON audit_log"],
            "sqlite": ["DROP TRIGGER audit_log_refuses_update", "DROP TRIGGER audit_log_refuses_delete"],
        }
        for drop in triggers[session.get_bind().dialect.name]:
            session.execute(text(drop))
        session.execute(text(statement))

    assert said in smsapp("audit", "verify", status=1)
    assert smsapp("audit", "verify", "--head", f"3:{'0' * 64}", status=1)
