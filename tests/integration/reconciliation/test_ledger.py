"""The ledger balances, and what anybody tampers with is found."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, event, update

from smsapp.ids import public_id
from smsapp.maintenance import sweep
from smsapp.messages.models import Message, MessageEvent
from smsapp.messages.status import Outcome
from smsapp.reconciliation import check_ledger as ledger_module
from smsapp.reconciliation.check_ledger import Difference, check_histories, check_ledger
from smsapp.reconciliation.reconcile import reconcile
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import Submission
from tests.support.callbacks import callback, receive
from tests.support.fakes import FakeClock, FakeTwilio, refuse
from tests.support.log_lines import LogLines
from tests.support.messages import Accept


@pytest.fixture
def message_id(rt: Runtime, accept: Accept) -> UUID:
    """A message that Twilio has queued."""
    accepted = accept()
    send_messages(rt)
    return accepted


def tamper(rt: Runtime, message_id: UUID, **values: Any) -> None:
    with rt.sessions.begin() as session:
        session.execute(update(Message).where(Message.id == message_id).values(**values))


def every_fate(rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept) -> dict[str, UUID]:
    """Let messages meet all that can happen; return them by their outcome."""
    ids = {outcome: accept(f"+1415555{number:04}") for number, outcome in enumerate([*Outcome, "resent"])}
    send_messages(rt)
    for outcome in ("delivered", "undelivered", "failed", "canceled"):
        receive(
            rt, *(callback(rt, ids[Outcome(outcome)], word) for word in ("sent", outcome, "sent", outcome))
        )
    receive(rt, callback(rt, ids[Outcome.UNDELIVERED], "undelivered", ErrorCode="30005"))
    waiting = accept("+14155550200")
    twilio.behaviours = [refuse(20429, 429, retry_after="7200")]
    send_messages(rt)
    refused = accept("+14155550201")
    clock.advance(timedelta(minutes=2))
    twilio.behaviours = [refuse(21211, 400)]
    send_messages(rt)
    lost = accept("+14155550202", on_unconfirmed="hold")
    twilio.behaviours = [twilio.lose]
    send_messages(rt)
    clock.advance(timedelta(minutes=10))
    sweep(rt)
    reconcile(rt)
    return {str(outcome): message_id for outcome, message_id in ids.items()} | {
        "waiting": waiting,
        "refused": refused,
        "lost": lost,
    }


def test_every_accepted_message_is_accounted_for(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    every_fate(rt, twilio, clock, accept)

    ledger = check_ledger(rt)

    assert ledger.balanced
    assert ledger.accepted == 9
    assert ledger.by_outcome == {
        "delivered": 1,
        "undelivered": 1,
        "failed": 2,
        "canceled": 1,
        "unconfirmed": 1,
        "in_flight": 3,
    }


def test_an_empty_ledger_balances(rt: Runtime) -> None:
    ledger = check_ledger(rt)

    assert (ledger.accepted, ledger.by_outcome, ledger.balanced) == (0, {}, True)


def test_what_is_accepted_during_the_count_does_not_upset_it(rt: Runtime, accept: Accept) -> None:
    accept()
    engine = rt.sessions.kw["bind"]
    meanwhile: list[UUID] = []

    def accept_another(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "count(" in statement and not meanwhile:
            meanwhile.append(accept())

    event.listen(engine, "after_cursor_execute", accept_another)
    ledger = check_ledger(rt)
    event.remove(engine, "after_cursor_execute", accept_another)

    assert ledger.balanced
    assert meanwhile


@pytest.mark.parametrize(
    "values",
    [
        pytest.param({"due_at": None}, id="nobody will look at it again"),
        pytest.param({"status": "delivered"}, id="final without an outcome"),
        pytest.param({"outcome": "delivered"}, id="an outcome that its status does not tell"),
        pytest.param({"status": "delivered", "outcome": "failed"}, id="an outcome that its status belies"),
        pytest.param({"status": "failed", "outcome": "unconfirmed"}, id="certain and unconfirmed"),
    ],
)
def test_a_message_that_is_astray_is_named(
    rt: Runtime, message_id: UUID, accept: Accept, monkeypatch: pytest.MonkeyPatch, values: dict[str, Any]
) -> None:
    lines = LogLines()
    monkeypatch.setattr(ledger_module, "log", lines)
    accept()
    tamper(rt, message_id, **values)

    ledger = check_ledger(rt)

    assert not ledger.balanced
    assert ledger.stuck == [public_id(message_id)]
    assert [(level, name, facts["message_ids"]) for level, name, facts in lines.lines] == [
        ("error", "ledger_imbalance", [public_id(message_id)])
    ]


def test_a_message_that_is_long_overdue_is_astray(rt: Runtime, clock: FakeClock, message_id: UUID) -> None:
    clock.advance(timedelta(hours=24))
    before = check_ledger(rt).stuck
    clock.advance(timedelta(minutes=3))

    assert before == []
    assert check_ledger(rt).stuck == [public_id(message_id)]


def test_what_waits_for_a_parked_account_is_not_astray(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    accept()
    twilio.behaviours = [refuse(20003, 401)]
    twilio.account = Submission(cause="account_suspended")
    send_messages(rt)
    clock.advance(timedelta(days=3))

    assert check_ledger(rt).balanced


# Histories.


def test_every_state_follows_from_its_history(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    every_fate(rt, twilio, clock, accept)

    assert check_histories(rt, batch=4) == (9, [])  # several pages


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "delivered"),
        ("outcome", "delivered"),
        ("error_code", 30003),
        ("attempt", 2),
        ("twilio_sid", "SM" + "9" * 32),
    ],
)
def test_a_tampered_row_is_found(
    rt: Runtime, message_id: UUID, accept: Accept, field: str, value: Any
) -> None:
    accept()
    tamper(rt, message_id, **{field: value})

    checked, differences = check_histories(rt)

    assert checked == 2
    assert [(found.id, found.field, found.stored) for found in differences] == [
        (public_id(message_id), field, str(value))
    ]


def test_a_tampered_history_is_found(rt: Runtime, message_id: UUID) -> None:
    receive(rt, callback(rt, message_id, "sent"))
    with rt.sessions.begin() as session:
        session.execute(
            update(MessageEvent).where(MessageEvent.source == "callback").values(status="delivered")
        )

    _, differences = check_histories(rt)

    assert {found.field: found.refolded for found in differences} == {
        "status": "delivered",
        "outcome": "delivered",
    }


def test_a_missing_history_is_found(rt: Runtime, message_id: UUID) -> None:
    with rt.sessions.begin() as session:
        session.execute(delete(MessageEvent))

    assert check_histories(rt) == (1, [Difference(public_id(message_id), "events", "none", "at least one")])
