"""Every row of the simulator's table of outcomes, sent through the running service, ends as the table says."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

import pytest
from sqlalchemy import delete, update

from simulator.outcomes import OUTCOMES, Outcome
from smsapp.breakers.models import Breaker
from smsapp.messages.models import Message
from smsapp.twilio.error_codes import OwnCode
from tests.support.stack import DATABASES, Database, Stack, Stacks
from tests.support.tables import print_at_the_end

TIMEOUT_S = 90.0
UNDER_WAY = frozenset({"sent", "partially_delivered"})
RESENT = tuple(outcome for outcome in OUTCOMES if outcome.if_resent)
BY_NAME = {outcome.name: outcome for outcome in OUTCOMES}


@dataclass(frozen=True, slots=True)
class Ended:
    """How one row ended: the message, its history, and what Twilio has of it."""

    message: dict[str, Any]
    events: list[dict[str, Any]]
    at_twilio: list[dict[str, Any]]


AREAS = {"hold": "55524", "resend": "55525", "fail": "55526"}
"""What becomes of a text that Twilio may or may not have, and numbers for each."""

Row = tuple[str, str]
"""A row's name, and one of these wishes."""

Rows = dict[Row, Ended]


@pytest.fixture(scope="session")
def ended_on(stacks: Stacks) -> Callable[[Database], Rows]:
    """Give all rows as they ended on a database: sent when first asked for, at once, each to a number of its own."""
    return cache(lambda database: run_table(stacks(database)))


@pytest.fixture(params=DATABASES)
def ended(request: pytest.FixtureRequest, ended_on: Callable[[Database], Rows]) -> Rows:
    """All rows as they ended on one database."""
    return ended_on(request.param)


def run_table(stack: Stack) -> Rows:
    """Send every row and return how each ended, once all are where they should be or time is over."""
    ids = {(row.name, "hold"): send(stack, row) for row in OUTCOMES}
    ids |= {(row.name, wish): send(stack, row, wish) for row in RESENT for wish in ("resend", "fail")}
    wait_for(stack, ids)
    stack.simulator.wait_until_idle()
    stack.wait_until_tracked()
    return {row: look(stack, message_id) for row, message_id in ids.items()}


def send(stack: Stack, row: Outcome, wish: str | None = None) -> str:
    """Send the row's text from a sender of its own where the row would slow its sender down; None is the default."""
    fields = {"on_unconfirmed": wish} if wish else {}
    if row.name == "sender-queue-full":
        fields["from"] = "+15005550011"
    return str(stack.post(f"+1{AREAS[wish or 'hold']}{row.digits or '00000'}", row.name, **fields)["id"])


def wait_for(stack: Stack, ids: dict[Row, str]) -> None:
    """Return when every row is where it should be, or when time is over: the checks then say which was not."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        rows = stack.rows(ids.values())
        if all(
            (rows[key].status, rows[key].outcome is None) == (expected(*row), expected(*row) in UNDER_WAY)
            for row, key in ids.items()
        ):
            return
        hurry(stack)
        time.sleep(0.2)


def hurry(stack: Stack) -> None:
    """Let the time until the next attempt pass, and every pause in sending: both take up to minutes."""
    now = datetime.now(UTC)
    with stack.sessions.begin() as session:
        session.execute(
            update(Message).where(Message.status == "pending", Message.due_at > now).values(due_at=now)
        )
        session.execute(delete(Breaker))


def look(stack: Stack, message_id: str) -> Ended:
    """Return what became of a message."""
    message = stack.message(message_id)
    to_it = stack.simulator.ledger(to=message["to"])["messages"]  # other tests text the same numbers
    at_twilio = [entry for entry in to_it if entry["body"] == message["body"]]
    return Ended(message, stack.events(message_id), at_twilio)


def expected(name: str, wish: str) -> str:
    """Return the status that the table documents."""
    outcome = BY_NAME[name]
    return {"hold": outcome.status, "resend": outcome.if_resent or outcome.status, "fail": "failed"}[wish]


def as_text(rows: Rows) -> str:
    """Return the rows as a table for people."""
    lines = []
    for (name, wish), ended in sorted(rows.items()):
        message = ended.message
        code = (message["error"] or {}).get("code") or "-"
        title = name if wish == "hold" else f"{name} ({wish})"
        lines.append(
            f"{title:34}{message['status']:21}{message['outcome'] or '-':13}{code!s:7}"
            f"{message['explanation']}"
        )
    return "\n".join(lines)


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_a_row_ends_as_documented_and_says_why(ended: Rows, outcome: Outcome) -> None:
    row = ended[outcome.name, "hold"]
    error = row.message["error"]

    assert row.message["status"] == outcome.status
    assert row.message["outcome"] == (None if outcome.status in UNDER_WAY else outcome.status)
    assert is_sentence(row.message["explanation"])
    if outcome.error_code:
        assert error["code"] == outcome.error_code
        assert is_sentence(error["sentence"])
        assert is_sentence(error["advice"])
        assert error["sentence"] in row.message["explanation"]
    elif outcome.status in UNDER_WAY | {"delivered"}:
        assert error is None


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_no_row_reaches_twilio_twice(ended: Rows, outcome: Outcome) -> None:
    row = ended[outcome.name, "hold"]

    assert len(row.at_twilio) <= 1
    if row.at_twilio and outcome.name != "unknowable":
        assert row.message["twilio_sid"] == row.at_twilio[0]["sid"]


@pytest.mark.parametrize("outcome", RESENT, ids=lambda outcome: outcome.name)
def test_what_twilio_never_took_is_delivered_when_it_may_be_sent_again(ended: Rows, outcome: Outcome) -> None:
    row = ended[outcome.name, "resend"]

    assert row.message["status"] == outcome.if_resent
    assert row.message["attempt"] == 3
    assert len(row.at_twilio) == 1


@pytest.mark.parametrize("outcome", RESENT, ids=lambda outcome: outcome.name)
def test_what_twilio_never_took_fails_when_its_caller_wants_that(ended: Rows, outcome: Outcome) -> None:
    row = ended[outcome.name, "fail"]

    assert (row.message["status"], row.message["error"]["code"]) == ("failed", OwnCode.NOT_FOUND_AT_TWILIO)
    assert row.at_twilio == []


def test_the_table_that_is_printed_explains_every_row(
    ended: Rows, request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    table = as_text(ended)
    print_at_the_end(record_property, f"outcomes on {request.node.callspec.params['ended']}", table)

    assert {line[:34].split()[0] for line in table.splitlines()} == set(BY_NAME)
    assert all(is_sentence(row.message["explanation"]) for row in ended.values())


def test_a_repeated_callback_is_kept_and_marked(ended: Rows) -> None:
    reasons = [event["reason"] for event in callbacks(ended["callbacks-twice", "hold"])]

    assert sorted(map(str, reasons)) == ["None", "None", "duplicate", "duplicate"]


def test_a_late_callback_is_kept_and_marked(ended: Rows) -> None:
    assert [
        (event["status"], event["reason"]) for event in callbacks(ended["callbacks-reversed", "hold"])
    ] == [
        ("delivered", None),
        ("sent", "late"),
    ]


def test_callbacks_that_overtake_the_answer_find_their_message(ended: Rows) -> None:
    row = ended["callbacks-early", "hold"]
    answered_at = next(event["received_at"] for event in row.events if event["source"] == "api")

    assert [event["status"] for event in callbacks(row)] == ["sent", "delivered"]
    assert all(event["received_at"] < answered_at for event in callbacks(row))


def test_a_forged_callback_leaves_no_trace(ended: Rows) -> None:
    assert [event["status"] for event in callbacks(ended["callback-forged", "hold"])] == ["sent", "delivered"]


def test_an_unknown_status_is_kept_and_changes_nothing(ended: Rows) -> None:
    events = callbacks(ended["unknown-status", "hold"])

    unknown = [(event["applied"], event["reason"]) for event in events if event["status"] == "handed_over"]
    assert unknown == [(False, "unknown_status")]


def test_what_no_callback_told_was_asked_for(ended: Rows) -> None:
    sources = [event["source"] for event in ended["callbacks-lost", "hold"].events if event["applied"]]

    assert sources[-1] == "poll"


def callbacks(row: Ended) -> list[dict[str, Any]]:
    """Return what was called back, in the order of recording."""
    return [event for event in row.events if event["source"] == "callback"]


def is_sentence(text: str) -> bool:
    """Return whether this reads like something a person would say."""
    return text[:1].isupper() and text.endswith(".") and " " in text
