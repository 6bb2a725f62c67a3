"""A command that did not do what it was asked says so in a sentence, and exits with something else than 0."""

from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

import pytest
from click.testing import CliRunner, Result

from smsapp.breakers import queries as breakers
from smsapp.callbacks import dead_letters
from smsapp.callbacks.replay import replay_dead_letters
from smsapp.cli.main import main
from smsapp.ids import new_id, public_id
from smsapp.messages.queries import lock
from smsapp.messages.status import Status
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from tests.support.callbacks import POISON, raw_callback, receive
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept

Run = Callable[..., Result]


@pytest.fixture
def run(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run `python -m smsapp …` on this test's database."""
    monkeypatch.setattr("smsapp.cli.operate.command_runtime", lambda: rt)
    return lambda *arguments: CliRunner().invoke(main, arguments)


@pytest.fixture
def unconfirmed(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> UUID:
    """A message of which nobody can say whether Twilio took it."""
    message_id = accept()
    twilio.behaviours = [twilio.lose]
    send_messages(rt)
    return message_id


def status_of(rt: Runtime, message_id: UUID) -> Status:
    with rt.sessions() as session:
        return lock(session, [message_id])[message_id].status


def waiting_letters(rt: Runtime) -> int:
    with rt.sessions() as session:
        return dead_letters.count(session)


# Unconfirmed messages.


@pytest.mark.parametrize("nonsense", ["nonsense", "msg_1", str(UUID(int=1))])
def test_a_decision_on_what_is_no_message_id_is_a_usage_error_and_decides_nothing(
    rt: Runtime, run: Run, unconfirmed: UUID, nonsense: str
) -> None:
    result = run("unconfirmed", "decide", "fail", public_id(unconfirmed), nonsense)

    assert result.exit_code == 2
    assert f"'{nonsense}' is no message id" in result.stderr
    assert status_of(rt, unconfirmed) is Status.UNCONFIRMED


def test_a_decision_on_what_is_not_unconfirmed_fails_and_the_others_are_carried_out(
    rt: Runtime, run: Run, unconfirmed: UUID, accept: Accept
) -> None:
    pending, unknown = public_id(accept()), public_id(new_id())

    result = run("unconfirmed", "decide", "fail", pending, unknown, public_id(unconfirmed))

    assert result.exit_code == 1
    assert result.stdout.endswith(f"{public_id(unconfirmed)}: done\n")
    assert result.stderr == f"{pending}: is not unconfirmed\n{unknown}: is not unconfirmed\n"
    assert status_of(rt, unconfirmed) is Status.FAILED


def test_a_decision_that_was_carried_out_exits_with_0(rt: Runtime, run: Run, unconfirmed: UUID) -> None:
    result = run("unconfirmed", "decide", "resend", public_id(unconfirmed))

    assert result.exit_code == 0
    assert result.stdout.endswith(f"{public_id(unconfirmed)}: done\n")
    assert status_of(rt, unconfirmed) is Status.PENDING


# Dead letters.


def test_replaying_a_letter_that_does_not_wait_fails(rt: Runtime, run: Run) -> None:
    missing = new_id()

    result = run("dead", "replay", str(missing))

    assert result.exit_code == 1
    assert f"{missing}: no dead letter with this id waits" in result.stderr


@pytest.fixture
def dead(rt: Runtime) -> None:
    """Four dead letters, of which the last can be processed by now."""
    with rt.sessions.begin() as session:
        for number in range(3):
            payload = {"raw": str(number)}
            dead_letters.add(
                session, id=new_id(), kind="callback", payload=payload, cause="?", now=rt.clock()
            )
    receive(rt, raw_callback(rt, None, POISON))
    with rt.sessions.begin() as session:
        letter = dead_letters.waiting(session, limit=9)[-1]
        letter.payload = letter.payload | {"body": f"MessageSid=SM{'1' * 32}&MessageStatus=sent"}


@pytest.mark.usefixtures("dead")
def test_letters_that_still_cannot_be_processed_hide_nothing_that_comes_after_them(rt: Runtime) -> None:
    assert replay_dead_letters(rt, batch=2) == (1, 3)
    assert waiting_letters(rt) == 3


@pytest.mark.usefixtures("dead")
def test_all_letters_are_replayed_and_those_that_cannot_be_stay_where_they_are(rt: Runtime, run: Run) -> None:
    result = run("dead", "replay", "--all")

    assert result.exit_code == 1
    assert result.stdout.endswith("1 replayed, 3 still cannot be processed\n")
    assert waiting_letters(rt) == 3


@pytest.mark.usefixtures("dead")
def test_a_letter_is_shown_with_what_it_holds(rt: Runtime, run: Run) -> None:
    with rt.sessions() as session:
        letter = dead_letters.waiting(session, limit=9)[-1]

    shown = run("dead", "show", str(letter.id))

    assert shown.exit_code == 0
    for told in (letter.cause, letter.payload["body"], letter.payload["receipt_id"], "waits"):
        assert told in shown.stdout
    assert run("dead", "show", str(new_id())).exit_code == 1


@pytest.mark.usefixtures("dead")
def test_a_closed_letter_waits_no_more_and_stays(rt: Runtime, run: Run) -> None:
    with rt.sessions() as session:
        letter_id = dead_letters.waiting(session, limit=9)[0].id

    closed, again = run("dead", "close", str(letter_id)), run("dead", "close", str(letter_id))

    assert (closed.exit_code, closed.stdout) == (0, "1 closed\n")
    assert again.exit_code == 1
    assert f"{letter_id}: no dead letter with this id waits" in again.stderr
    assert waiting_letters(rt) == 3
    assert "closed 2026-" in run("dead", "show", str(letter_id)).stdout
    assert replay_dead_letters(rt, [letter_id]) == (0, 0)


# What is held, and what is parked.


def test_releasing_what_is_not_closed_fails(run: Run) -> None:
    for scope in ("nonsense", "country:GB"):
        result = run("breaker", "release", scope)

        assert result.exit_code == 1
        assert "nothing is closed by that name; closed: " in result.stderr


def test_releasing_a_country_to_which_nothing_is_held_fails(run: Run, accept: Accept) -> None:
    accept()

    result = run("held", "release", "--country", "GB")

    assert result.exit_code == 1
    assert "nothing is held for GB" in result.stderr
    assert run("held", "release").stdout == "0 released\n"


def park(rt: Runtime, country: str) -> None:
    with rt.sessions.begin() as session:
        breakers.trip(
            session,
            breakers.country_scope(country),
            parked=True,
            error_code=22,
            reason="test",
            now=rt.clock(),
            probe_at=rt.clock() + timedelta(hours=1),
        )


@pytest.mark.parametrize("arguments", [(), ("--country", "US"), ("--country", "us")])
def test_releasing_messages_to_a_parked_country_names_the_command_that_opens_it(
    rt: Runtime, run: Run, clock: FakeClock, accept: Accept, arguments: tuple[str, ...]
) -> None:
    object.__setattr__(rt, "settings", rt.settings.model_copy(update={"min_delivery_ratio": 0.5}))
    park(rt, "US")
    accept()
    send_messages(rt)

    result = run("held", "release", *arguments)

    assert result.exit_code == 1
    assert "US is parked; `breaker release country:US` opens it" in result.stderr
    assert run("breaker", "release", "country:US").exit_code == 0


@pytest.mark.parametrize("group", ["dead", "unconfirmed"])
@pytest.mark.parametrize("limit", ["0", "-1"])
def test_a_limit_that_lists_nothing_is_a_usage_error(run: Run, group: str, limit: str) -> None:
    assert run(group, "list", "--limit", limit).exit_code == 2
