"""Opt-outs: how they become known, what they stop, and that the latest word counts whatever comes late or twice."""

import contextlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from smsapp.callbacks import spool
from smsapp.callbacks.drain_spool import drain_spool
from smsapp.config import Settings
from smsapp.events.models import OutboxEvent
from smsapp.ids import inbound_id, public_id
from smsapp.inbound.models import InboundMessage
from smsapp.retention.purge import forget_inbound
from smsapp.runtime import RecentAnswer, Runtime
from smsapp.submission.send import send_messages
from smsapp.suppressions.check import RecipientOptedOutError
from smsapp.suppressions.models import Suppression, SuppressionEvent
from smsapp.suppressions.record import record_opt_outs
from smsapp.suppressions.rules import EVERY_SENDER, OptOutEvidence, OptOutSource
from smsapp.twilio.error_codes import OwnCode
from tests.support.callbacks import callback, raw_callback, receive
from tests.support.fakes import FakeClock, FakeTwilio, refuse
from tests.support.messages import Accept, events, stored
from tests.support.web import Api, problem, serving

PHONE = "+14155552671"
SENDER = "+15005550006"
SERVICE = "MG" + "2" * 32
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _looks_each_time(rt: Runtime, histories_tell_the_state: None) -> None:
    """Have every look at the suppressions be a fresh one."""
    rt.any_suppression.every_s = 0.0


def text(
    rt: Runtime, body: str, *, phone: str = PHONE, service: str = "", sid: str = "", **changes: Any
) -> UUID:
    """Receive a text and return its id."""
    form = {
        "MessageSid": sid or f"SM{uuid4().hex}",
        "From": phone,
        "To": changes.pop("to", SENDER),
        "Body": body,
        "MessagingServiceSid": service,
        "OptOutType": changes.pop("opt_out_type", ""),
    }
    came = raw_callback(rt, None, urlencode(form), kind="inbound", **changes)
    receive(rt, came)
    return came.receipt_id


def suppressed(rt: Runtime) -> set[tuple[str, str]]:
    with rt.sessions() as session:
        rows = session.execute(
            select(Suppression.recipient, Suppression.scope).where(Suppression.suppressed)
        ).all()
        return {(row.recipient, row.scope) for row in rows}


def history(rt: Runtime) -> list[tuple[str, bool, bool]]:
    """Return the evidence in the order of recording: source, whether it suppresses, whether it was applied."""
    with rt.sessions() as session:
        query = select(SuppressionEvent).order_by(SuppressionEvent.suppression_id, SuppressionEvent.seq)
        return [(event.source, event.suppressed, event.applied) for event in session.scalars(query)]


def told(rt: Runtime) -> list[tuple[str, dict[str, Any]]]:
    """Return what consumers hear of opt-outs."""
    with rt.sessions() as session:
        query = select(OutboxEvent).where(OutboxEvent.type.startswith("recipient.")).order_by(OutboxEvent.seq)
        return [(event.type, event.data or {}) for event in session.scalars(query)]


def suppress(rt: Runtime, *scopes: str, at: datetime | None = None, **changes: Any) -> None:
    fields: dict[str, Any] = {
        "recipient": PHONE,
        "suppressed": True,
        "source": OptOutSource.OPERATOR,
    } | changes
    with rt.transaction() as tx:
        record_opt_outs(rt, tx, [OptOutEvidence(scopes=scopes, at=at or rt.clock(), **fields)])


# How they become known.


def test_stop_suppresses_the_number_it_was_sent_to(rt: Runtime) -> None:
    text(rt, "Stop ")

    assert suppressed(rt) == {(PHONE, SENDER)}


def test_stop_to_a_messaging_service_holds_for_all_of_it(rt: Runtime) -> None:
    text(rt, "STOP", service=SERVICE)

    assert suppressed(rt) == {(PHONE, SENDER), (PHONE, SERVICE)}


def test_what_advanced_opt_out_recognizes_counts(rt: Runtime) -> None:
    text(rt, "arrêt", service=SERVICE, opt_out_type="STOP")

    assert suppressed(rt) == {(PHONE, SENDER), (PHONE, SERVICE)}


@pytest.mark.parametrize("body", ["HELP", "please stop", "hello", ""])
def test_other_texts_suppress_nothing(rt: Runtime, body: str) -> None:
    text(rt, body)

    assert suppressed(rt) == set()
    assert history(rt) == []


def test_start_lifts_it_for_number_and_service(rt: Runtime, clock: FakeClock) -> None:
    text(rt, "STOP", service=SERVICE)
    clock.advance(MINUTE)
    text(rt, "START", service=SERVICE)

    assert suppressed(rt) == set()


@pytest.mark.parametrize("body", ["Stop!", "OPT OUT", "arr\u00eat", "\u201cunsubscribe\u201d", "Sair"])
def test_what_is_a_stop_only_to_us_suppresses_too(rt: Runtime, accept: Accept, body: str) -> None:
    text(rt, body)

    assert suppressed(rt) == {(PHONE, SENDER)}
    with pytest.raises(RecipientOptedOutError):
        accept()


@pytest.mark.parametrize(("word", "lifts"), [("YES", False), ("START", True), ("UNSTOP", True)])
def test_an_opt_out_of_a_toll_free_number_is_lifted_by_two_words(
    rt: Runtime, clock: FakeClock, word: str, lifts: bool
) -> None:  # F13
    text(rt, "STOP", to="+18005550100", service=SERVICE)
    clock.advance(MINUTE)
    text(rt, word, to="+18005550100", service=SERVICE)

    assert suppressed(rt) == (set() if lifts else {(PHONE, "+18005550100"), (PHONE, SERVICE)})
    assert len(told(rt)) == (2 if lifts else 1)


def test_consumers_hear_of_each_change_once(rt: Runtime, clock: FakeClock) -> None:
    stop = text(rt, "STOP", service=SERVICE)
    clock.advance(MINUTE)
    text(rt, "STOP", service=SERVICE)  # says nothing new
    clock.advance(MINUTE)
    start = text(rt, "START", service=SERVICE)
    clock.advance(MINUTE)
    text(rt, "START", service=SERVICE)

    heard = told(rt)

    assert [kind for kind, _ in heard] == ["recipient.opted_out", "recipient.opted_in"]
    assert [data["reference"] for _, data in heard] == [inbound_id(stop), inbound_id(start)]
    for _, data in heard:
        assert (data["recipient"], sorted(data["senders"])) == (PHONE, sorted([SENDER, SERVICE]))
        assert (data["source"], data["every_sender"], len(data["suppressions"])) == ("inbound", False, 2)


def test_twilios_refusal_suppresses(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    twilio.behaviours.append(refuse(21610, 400))
    message_id = accept(sender=None, messaging_service_sid=SERVICE)

    send_messages(rt)

    assert (stored(rt, message_id).status, stored(rt, message_id).error_code) == ("failed", 21610)
    assert suppressed(rt) == {(PHONE, SERVICE)}
    assert told(rt)[0][1]["reference"] == public_id(message_id)


@pytest.mark.parametrize("status", ["failed", "undelivered"])
def test_a_callback_with_twilios_code_suppresses(rt: Runtime, accept: Accept, status: str) -> None:
    message_id = accept()
    send_messages(rt)

    report = callback(rt, message_id, status, ErrorCode="21610")
    receive(rt, report, report)

    assert suppressed(rt) == {(PHONE, SENDER)}
    assert len(told(rt)) == 1


def test_its_code_on_a_text_that_arrived_suppresses_nothing(rt: Runtime, accept: Accept) -> None:
    message_id = accept()
    send_messages(rt)

    receive(rt, callback(rt, message_id, "delivered", ErrorCode="21610"))

    assert suppressed(rt) == set()


def test_an_opt_out_is_told_in_the_transaction_that_records_it(rt: Runtime) -> None:
    class Oops(Exception):
        pass

    with contextlib.suppress(Oops), rt.transaction() as tx:
        evidence = OptOutEvidence(PHONE, [SENDER], True, OptOutSource.OPERATOR, rt.clock())
        record_opt_outs(rt, tx, [evidence])
        raise Oops

    assert (suppressed(rt), told(rt)) == (set(), [])


# The order of the evidence.


def test_a_stop_that_is_delivered_twice_does_not_undo_a_start(rt: Runtime, clock: FakeClock) -> None:
    text(rt, "STOP", sid="SM" + "1" * 32)
    clock.advance(MINUTE)
    text(rt, "START")
    clock.advance(MINUTE)
    text(rt, "STOP", sid="SM" + "1" * 32)

    assert suppressed(rt) == set()


def test_a_start_that_is_replayed_after_its_text_was_forgotten_does_not_undo_a_stop(
    rt: Runtime, clock: FakeClock
) -> None:
    start, hello = "SM" + "1" * 32, "SM" + "2" * 32
    text(rt, "START", sid=start)
    text(rt, "hello", sid=hello)
    clock.advance(MINUTE)
    text(rt, "STOP")
    clock.advance(timedelta(days=31))
    keeping = replace(rt, settings=rt.settings.model_copy(update={"keep_inbound": timedelta(days=30)}))
    assert forget_inbound(keeping) == 3

    for sid, body in (
        (start, "START"),
        (hello, "START"),
    ):  # whoever replays it cannot change it, but who knows
        text(rt, body, sid=sid)

    assert suppressed(rt) == {(PHONE, SENDER)}
    with rt.sessions() as session:
        assert session.scalars(select(InboundMessage.id)).all() == []


@pytest.mark.parametrize("known_before", [True, False])
def test_a_stop_that_is_processed_late_does_not_undo_a_start(
    rt: Runtime, clock: FakeClock, known_before: bool
) -> None:
    if known_before:
        text(rt, "STOP")
    stopped_at = clock.now + MINUTE
    clock.advance(2 * MINUTE)
    text(rt, "START")
    text(rt, "STOP", received_at=stopped_at)  # it waited in the spool, say

    assert suppressed(rt) == set()
    assert history(rt)[-1] == ("inbound", True, False)
    clock.advance(MINUTE)
    text(rt, "STOP")
    assert suppressed(rt) == {(PHONE, SENDER)}


def test_keywords_of_one_batch_count_in_the_order_of_their_receipt(rt: Runtime, clock: FakeClock) -> None:
    form = {"From": PHONE, "To": SENDER}
    start = urlencode(form | {"Body": "START", "MessageSid": f"SM{uuid4().hex}"})
    stop = urlencode(form | {"Body": "STOP", "MessageSid": f"SM{uuid4().hex}"})

    receive(
        rt,
        raw_callback(rt, None, start, kind="inbound", received_at=clock.now + MINUTE),
        raw_callback(rt, None, stop, kind="inbound"),
    )

    assert suppressed(rt) == set()


def test_a_refusal_from_before_a_start_does_not_undo_it(
    rt: Runtime, accept: Accept, clock: FakeClock
) -> None:
    message_id = accept()
    send_messages(rt)
    clock.advance(MINUTE)
    text(rt, "START")
    clock.advance(MINUTE)
    receive(rt, callback(rt, message_id, "failed", ErrorCode="21610"))
    assert suppressed(rt) == set()

    later = accept(body="later")
    send_messages(rt)
    receive(rt, callback(rt, later, "failed", ErrorCode="21610"))
    assert suppressed(rt) == {(PHONE, SENDER)}


def test_an_inbox_entry_counts_from_when_it_came(rt: Runtime, clock: FakeClock) -> None:
    form = urlencode({"From": PHONE, "To": SENDER, "Body": "STOP", "MessageSid": f"SM{uuid4().hex}"})
    stop = raw_callback(rt, None, form, kind="inbound")
    with rt.sessions.begin() as session:
        spool.add(session, stop, reason=spool.REDIS_UNAVAILABLE)
    clock.advance(MINUTE)
    text(rt, "START")

    drain_spool(rt)

    assert suppressed(rt) == set()


def test_evidence_that_comes_at_once_leaves_one_row_and_a_whole_history(rt: Runtime) -> None:
    def one(number: int) -> None:
        suppress(rt, SENDER, SERVICE, at=rt.clock() + number * MINUTE, suppressed=number % 2 == 0)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(one, range(17)))

    assert suppressed(rt) == {(PHONE, SENDER), (PHONE, SERVICE)}  # the latest says so
    assert len(history(rt)) == 2 * 17


# What they stop.


def test_a_message_to_somebody_who_opted_out_is_not_accepted(rt: Runtime, accept: Accept) -> None:
    text(rt, "STOP")

    with pytest.raises(RecipientOptedOutError):
        accept()
    other_sender = accept(sender="+15005550007")
    other_phone = accept("+14155552672")

    assert {stored(rt, each).status for each in (other_sender, other_phone)} == {"pending"}


@pytest.mark.parametrize("scope", [SENDER, SERVICE, EVERY_SENDER])
def test_a_message_by_any_suppressed_way_is_not_accepted(rt: Runtime, accept: Accept, scope: str) -> None:
    suppress(rt, scope)

    with pytest.raises(RecipientOptedOutError):
        accept(sender=SENDER, messaging_service_sid=SERVICE)


def test_start_opens_the_way_again(rt: Runtime, accept: Accept, clock: FakeClock, twilio: FakeTwilio) -> None:
    text(rt, "STOP")
    clock.advance(MINUTE)
    text(rt, "START")

    message_id = accept()
    send_messages(rt)

    assert [sent.id for sent in twilio.sent] == [message_id]


def test_start_lifts_what_an_operator_added_for_that_sender_but_not_for_every_sender(
    rt: Runtime, clock: FakeClock
) -> None:
    suppress(rt, SENDER, EVERY_SENDER)
    clock.advance(MINUTE)
    text(rt, "START")

    assert suppressed(rt) == {(PHONE, EVERY_SENDER)}


def test_a_message_that_waited_meets_the_opt_out_before_its_attempt(
    rt: Runtime, accept: Accept, twilio: FakeTwilio
) -> None:
    waited = accept()
    others = [accept("+14155552672"), accept(sender="+15005550007")]
    text(rt, "STOP")

    send_messages(rt)

    message = stored(rt, waited)
    assert (message.status, message.outcome) == ("failed", "failed")
    assert message.error_code == OwnCode.RECIPIENT_OPTED_OUT
    assert events(rt, waited)[-1].reason == "opted_out"
    assert {sent.id for sent in twilio.sent} == set(others)


def test_so_does_one_that_waits_for_a_retry(
    rt: Runtime, accept: Accept, twilio: FakeTwilio, clock: FakeClock
) -> None:
    twilio.behaviours.append(twilio.unreachable)
    message_id = accept()
    send_messages(rt)
    suppress(rt, EVERY_SENDER)
    clock.advance(10 * MINUTE)

    send_messages(rt)

    assert (stored(rt, message_id).status, stored(rt, message_id).error_code) == (
        "failed",
        OwnCode.RECIPIENT_OPTED_OUT,
    )
    assert twilio.sent == []


def test_nobody_is_asked_about_while_nobody_has_opted_out(rt: Runtime, accept: Accept) -> None:
    rt.any_suppression.every_s = 3600.0
    accept()
    another_process = replace(rt, any_suppression=RecentAnswer())
    text(another_process, "STOP")

    accept(body="a query would have found that")

    rt.any_suppression.expect()
    with pytest.raises(RecipientOptedOutError):
        accept(body="and now it does")


# Over HTTP.


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        api.rt.any_suppression.every_s = 0.0  # else another process's opt-out is noticed a second later
        yield api


def test_the_api_says_that_the_recipient_opted_out(api: Api, rt: Runtime) -> None:
    suppress(rt, SENDER)

    refused = problem(api.post({"to": PHONE, "body": "hello", "from": SENDER}), 422, "recipient_opted_out")

    assert [(fault.pointer, fault.code) for fault in refused.errors] == [("/to", "opted_out")]
    assert api.send(to=PHONE, **{"from": "+15005550007"})["status"] == "pending"


def test_a_repetition_gets_its_answer_also_after_an_opt_out(api: Api, rt: Runtime) -> None:
    request = {"to": PHONE, "body": "hello", "from": SENDER}
    first = api.post(request, headers={"Idempotency-Key": "k"})
    suppress(rt, SENDER)

    again = api.post(request, headers={"Idempotency-Key": "k"})
    changed = api.post(request | {"body": "other"}, headers={"Idempotency-Key": "k"})
    new = api.post(request, headers={"Idempotency-Key": "k2"})

    assert (first.status_code, again.status_code, again.json) == (202, 202, first.json)
    problem(changed, 422, "idempotency_key_reused")
    problem(new, 422, "recipient_opted_out")


def test_a_refused_request_leaves_its_key_free(api: Api, rt: Runtime, clock: FakeClock) -> None:
    request = {"to": PHONE, "body": "hello", "from": SENDER}
    suppress(rt, SENDER)
    problem(api.post(request, headers={"Idempotency-Key": "k"}), 422, "recipient_opted_out")
    suppress(rt, SENDER, suppressed=False, at=clock.now + MINUTE)

    assert api.post(request, headers={"Idempotency-Key": "k"}).status_code == 202
