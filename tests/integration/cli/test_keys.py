"""Applications and keys on the command line: what a script reads is the last line of output."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from smsapp.audit.models import AuditEntry
from smsapp.cli.main import main
from smsapp.config import Settings
from smsapp.keys import application_queries as applications
from smsapp.keys import queries as api_keys
from smsapp.keys.models import DEFAULT_APPLICATION, ApiKey

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings, sessions: sessionmaker[Session], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `python -m smsapp …` on this test's database."""
    for module in ("keys", "applications"):
        monkeypatch.setattr(f"smsapp.cli.{module}.settings_or_exit", lambda: settings)
        # A command's process ends with its connections; this one does not.
        monkeypatch.setattr(f"smsapp.cli.{module}.make_sessions", lambda *_, **__: sessions)
    return lambda *arguments: CliRunner().invoke(main, arguments)


def key_of(sessions: sessionmaker[Session], result: Result) -> ApiKey:
    """Return the key that a command printed alone on its last line."""
    assert result.exit_code == 0, result.output
    secret = result.stdout.splitlines()[-1]
    with sessions() as session:
        key = session.scalars(select(ApiKey).where(ApiKey.secret_sha256 == api_keys.digest(secret))).one()
        session.expunge(key)
    return key


def test_a_key_is_of_the_application_that_is_named(run: Run, sessions: sessionmaker[Session]) -> None:
    assert run("applications", "create", "shop").exit_code == 0

    with sessions() as session:
        shop = applications.named(session, "shop")
    assert key_of(sessions, run("keys", "create", "a", "--application", "shop")).application_id == shop
    assert key_of(sessions, run("keys", "create", "b")).application_id == DEFAULT_APPLICATION
    assert [line.split()[-1] for line in run("applications", "list").stdout.splitlines()] == [
        "default",
        "shop",
    ]
    assert "shop  a" in run("keys", "list").stdout


@pytest.mark.parametrize("name", ["shop", "default"])
def test_a_name_is_taken_once(run: Run, name: str) -> None:
    run("applications", "create", "shop")

    result = run("applications", "create", name)

    assert (result.exit_code, "already" in result.output) == (1, True)


@pytest.mark.parametrize("name", ["", "Shop", "a b", "-x", "é", "x" * 65, "a\n"])
def test_a_name_that_cannot_be_typed_is_refused(run: Run, name: str) -> None:
    assert run("applications", "create", "--", name).exit_code == 2


def test_a_key_of_no_application_is_not_made(run: Run, sessions: sessionmaker[Session]) -> None:
    result = run("keys", "create", "a", "--application", "nobodys")

    assert (result.exit_code, "no application" in result.output) == (1, True)
    with sessions() as session:
        assert api_keys.all_of(session) == []


def test_a_key_may_do_less_and_end(run: Run, sessions: sessionmaker[Session]) -> None:
    result = run("keys", "create", "a", "--scope", "send", "--scope", "read", "--expires", "90d")

    key = key_of(sessions, result)
    assert key.scopes == "read send"
    assert key.expires_at
    assert abs(key.expires_at - datetime.now(UTC) - timedelta(days=90)) < timedelta(minutes=1)
    shown = run("keys", "list").stdout
    assert "(may read send)" in shown
    assert f"(until {key.expires_at:%Y-%m-%d}" in shown


@pytest.mark.parametrize("wrong", ["90", "soon", "-1d", "0d", "99999999d"])
def test_a_span_that_is_none_is_refused(run: Run, sessions: sessionmaker[Session], wrong: str) -> None:
    assert run("keys", "create", "a", "--expires", wrong).exit_code == 2
    with sessions() as session:
        assert api_keys.all_of(session) == []


def test_a_key_is_rotated_by_its_prefix(run: Run, sessions: sessionmaker[Session]) -> None:
    former = key_of(sessions, run("keys", "create", "a", "--scope", "send"))

    result = run("keys", "rotate", f"{former.prefix}…", "--overlap", "1h")

    assert key_of(sessions, result).scopes == "send"
    with sessions() as session:
        ends = session.scalars(select(ApiKey.expires_at).where(ApiKey.id == former.id)).one()
    assert ends
    assert timedelta(minutes=59) < ends - datetime.now(UTC) <= timedelta(hours=1)
    assert run("keys", "rotate", "sms_live_none_").exit_code == 1
    with sessions() as session:
        acts = session.execute(select(AuditEntry.act, AuditEntry.subject).order_by(AuditEntry.seq)).all()
    assert [tuple(row) for row in acts] == [("key.created", former.prefix), ("key.rotated", former.prefix)]
