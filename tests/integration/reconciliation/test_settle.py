"""Lost answers: found in Twilio's records, told by a callback, or ended as the caller wished; never guessed twice."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select

from smsapp.events.models import OutboxEvent
from smsapp.messages.status import Outcome, Status
from smsapp.reconciliation.reconcile import reconcile
from smsapp.reconciliation.settle import Decision, decide_unconfirmed
from smsapp.runtime import Runtime
from smsapp.submission.expire_claims import expire_claims
from smsapp.submission.outbound import Outbound
from smsapp.submission.record import record_submissions
from smsapp.submission.send import send_messages
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import Submission, TwilioMessage
from tests.support.callbacks import callback, receive
from tests.support.environment import SENDER
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept, claim, events, stored

TO = "+14155552671"
LOOKUP = timedelta(minutes=1)
GRACE = timedelta(minutes=10)


@pytest.fixture(autouse=True)
def _nothing_is_lost(rt: Runtime, nothing_is_lost: None) -> None:
    """After each test; and these are the usual spans."""
    assert (rt.settings.unconfirmed_lookup_after, rt.settings.unconfirmed_grace) == (LOOKUP, GRACE)


def lost(rt: Runtime, twilio: FakeTwilio, accept: Accept, *, taken: bool, **draft: Any) -> UUID:
    """Submit one message whose answer is lost; return its id."""
    message_id = accept(**draft)
    twilio.behaviours = [twilio.accept_silently if taken else twilio.lose]
    send_messages(rt)
    assert stored(rt, message_id).status == Status.UNCONFIRMED
    return message_id


def record(clock: FakeClock, **changes: Any) -> TwilioMessage:
    """Return a message as Twilio lists it: ours in everything, but for the changes."""
    plain = TwilioMessage(
        sid=f"SM{uuid4().hex}",
        status="sent",
        to=TO,
        sender=SENDER,
        body="hello",
        error_code=None,
        num_segments=1,
        price=None,
        price_unit=None,
        created_at=clock(),
    )
    return replace(plain, **changes)


def sid_of(rt: Runtime, message_id: UUID) -> str | None:
    return stored(rt, message_id).twilio_sid


# Found in Twilio's records.


def test_a_message_whose_answer_was_lost_is_found_by_listing(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=True)

    clock.advance(LOOKUP - timedelta(seconds=1))
    reconcile(rt)
    early = sid_of(rt, message_id)
    clock.advance(timedelta(seconds=1))
    reconcile(rt)

    message = stored(rt, message_id)
    assert early is None  # a callback may tell it for nothing
    assert (message.status, message.twilio_sid) == (Status.QUEUED, next(iter(twilio.records)))
    assert message.error_code is None
    assert len(twilio.sent) == 1


def test_one_that_went_out_on_whatsapp_is_looked_for_there(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    twilio.behaviours = [twilio.accept_silently]
    message_id = accept(sender="whatsapp:+15005550015")
    send_messages(rt)

    clock.advance(LOOKUP)
    reconcile(rt)

    (record,) = twilio.records.values()
    assert record.to.startswith("whatsapp:")
    assert stored(rt, message_id).twilio_sid == record.sid


def test_a_message_whose_worker_died_is_found_by_listing(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.accept(claim(rt)[0])
    clock.advance(rt.settings.send_lease)
    expire_claims(rt)

    reconcile(rt)

    assert stored(rt, message_id).status == Status.QUEUED


def test_another_messages_sid_is_never_adopted(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    lost_one = lost(rt, twilio, accept, taken=False)
    accept()
    send_messages(rt)
    resent = accept(resend_after_failure=True)
    send_messages(rt)
    receive(rt, callback(rt, resent, "failed", ErrorCode="30017"))  # its SID belongs to a former attempt now
    clock.advance(LOOKUP)

    reconcile(rt)

    assert len(twilio.records) == 2
    assert (stored(rt, lost_one).status, sid_of(rt, lost_one)) == (Status.UNCONFIRMED, None)
    assert events(rt, lost_one)[-1].reason == "not_found_yet"


def test_the_sid_of_an_attempt_that_failed_at_once_is_not_adopted_for_the_next(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    """The callback that told the SID also ended the attempt, before Twilio's answer had come."""
    message_id = accept(resend_after_failure=True)

    def submit(message: Outbound) -> Submission:
        accepted = twilio.accept(message)
        assert accepted.message is not None
        receive(rt, callback(rt, message_id, "failed", ErrorCode="30500", MessageSid=accepted.message.sid))
        return accepted

    twilio.behaviours = [submit]
    send_messages(rt)
    clock.advance(timedelta(minutes=3))
    twilio.records = {sid: replace(found, created_at=clock()) for sid, found in twilio.records.items()}
    twilio.behaviours = [twilio.lose]
    send_messages(rt)
    clock.advance(LOOKUP)

    reconcile(rt)

    message = stored(rt, message_id)
    assert (message.status, message.attempt, message.twilio_sid) == (Status.UNCONFIRMED, 2, None)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"body": "hello!"}, id="another text"),
        pytest.param({"body": None}, id="a text that Twilio does not show"),
        pytest.param({"sender": "+15005550010"}, id="another sender"),
        pytest.param({"created_at": None}, id="no time"),
        pytest.param({"created_at": -timedelta(minutes=3)}, id="before we tried"),
        pytest.param({"created_at": timedelta(minutes=30)}, id="long after we tried"),
    ],
)
def test_what_is_not_ours_is_not_adopted(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, changes: dict[str, Any]
) -> None:
    message_id = lost(rt, twilio, accept, taken=False)
    offset = changes.get("created_at")
    when = {"created_at": clock() + offset} if offset is not None else {}
    other = record(clock, **changes | when)
    twilio.records[other.sid] = other
    clock.advance(LOOKUP)

    reconcile(rt)

    assert sid_of(rt, message_id) is None


def test_twilios_clock_may_differ_a_little(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False)
    ours = record(clock, created_at=clock() - timedelta(minutes=1))
    twilio.records[ours.sid] = ours
    clock.advance(LOOKUP)

    reconcile(rt)

    assert sid_of(rt, message_id) == ours.sid


def test_a_messaging_service_may_have_chosen_any_sender(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, sender=None, messaging_service_sid="MG" + "2" * 32)
    ours = record(clock, sender="+15005550010")
    twilio.records[ours.sid] = ours
    clock.advance(LOOKUP)

    reconcile(rt)

    assert sid_of(rt, message_id) == ours.sid


def test_a_status_that_is_not_known_yet_still_binds_the_sid(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False)
    ours = record(clock, status="some_new_word")
    twilio.records[ours.sid] = ours
    clock.advance(LOOKUP)

    reconcile(rt)
    bound = sid_of(rt, message_id)
    twilio.records[ours.sid] = replace(ours, status="delivered")
    clock.advance(timedelta(minutes=2))
    reconcile(rt)

    assert bound == ours.sid
    assert stored(rt, message_id).status == Status.DELIVERED


# Identical texts to one number.


@pytest.mark.parametrize("first_asked", [0, 1])
def test_two_identical_texts_each_get_their_own(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, first_asked: int
) -> None:
    one = lost(rt, twilio, accept, taken=True)
    clock.advance(timedelta(seconds=2))
    other = lost(rt, twilio, accept, taken=True)
    sids = list(twilio.records)
    clock.advance(LOOKUP)
    if first_asked == 1:  # the second one is due before the first
        listed, twilio.records = twilio.records, {}
        clock.advance(timedelta(seconds=-2))
        reconcile(rt)
        clock.advance(timedelta(seconds=2))
        twilio.records = listed

    reconcile(rt)
    clock.advance(LOOKUP)
    reconcile(rt)

    assert [sid_of(rt, one), sid_of(rt, other)] == sids


def test_identical_texts_claimed_together_each_get_one(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    ids = [accept() for _ in range(5)]
    twilio.behaviours = [twilio.accept_silently] * 5
    send_messages(rt)
    clock.advance(LOOKUP)

    reconcile(rt)

    assert {sid_of(rt, message_id) for message_id in ids} == set(twilio.records)
    assert len(twilio.records) == 5


def test_of_two_identical_texts_of_which_twilio_took_one_only_one_is_found(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    ids = [lost(rt, twilio, accept, taken=False), lost(rt, twilio, accept, taken=True)]

    for _ in range(15):
        clock.advance(LOOKUP)
        reconcile(rt)

    found = [stored(rt, message_id) for message_id in ids]
    assert sorted(str(message.status) for message in found) == ["queued", "unconfirmed"]
    assert sum(message.twilio_sid is not None for message in found) == 1
    assert {message.outcome for message in found} == {None, Outcome.UNCONFIRMED}


def test_a_callback_takes_a_sid_back_that_was_adopted_by_mistake(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    mistaken, right = lost(rt, twilio, accept, taken=False), lost(rt, twilio, accept, taken=True)
    sid = next(iter(twilio.records))
    clock.advance(LOOKUP)
    reconcile(rt)
    before = sid_of(rt, mistaken)

    receive(rt, callback(rt, right, "delivered", MessageSid=sid))
    clock.advance(GRACE)
    reconcile(rt)

    assert before == sid
    assert (stored(rt, right).status, sid_of(rt, right)) == (Status.DELIVERED, sid)
    assert (stored(rt, mistaken).status, sid_of(rt, mistaken)) == (Status.UNCONFIRMED, None)
    assert stored(rt, mistaken).outcome == Outcome.UNCONFIRMED


def test_twilios_late_answer_takes_a_sid_back_that_was_adopted_by_mistake(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    mistaken = lost(rt, twilio, accept, taken=False)
    right = accept()
    claimed = claim(rt)[0]
    answer = twilio.accept(claimed)
    clock.advance(timedelta(minutes=2))
    expire_claims(rt)
    reconcile(rt)
    before = sid_of(rt, mistaken)

    record_submissions(rt, [(claimed, answer)])

    assert before is not None
    assert (sid_of(rt, right), sid_of(rt, mistaken)) == (before, None)
    assert stored(rt, right).status == Status.QUEUED


def test_while_a_twin_is_being_submitted_nothing_is_adopted_or_given_up(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend")
    clock.advance(GRACE - timedelta(seconds=30))
    accept()
    twin = claim(rt)[0]
    answer = twilio.accept(twin)
    clock.advance(timedelta(seconds=30))

    reconcile(rt)
    meanwhile = stored(rt, message_id)
    record_submissions(rt, [(twin, answer)])
    clock.advance(LOOKUP)
    reconcile(rt)

    assert (meanwhile.status, meanwhile.twilio_sid) == (Status.UNCONFIRMED, None)
    assert (stored(rt, message_id).status, stored(rt, message_id).attempt) == (Status.PENDING, 2)


def test_a_message_that_is_held_takes_nothing_from_a_later_one(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    held = lost(rt, twilio, accept, taken=False)
    clock.advance(GRACE)
    reconcile(rt)
    clock.advance(timedelta(hours=72) - timedelta(seconds=90))
    later = lost(rt, twilio, accept, taken=True)

    clock.advance(LOOKUP)
    reconcile(rt)
    found = sid_of(rt, later)
    clock.advance(timedelta(minutes=1))
    reconcile(rt)

    assert found == next(iter(twilio.records))
    assert (stored(rt, held).outcome, sid_of(rt, held)) == (Outcome.UNCONFIRMED, None)


def test_a_message_that_is_held_does_not_adopt_a_later_ones_sid(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    held = lost(rt, twilio, accept, taken=False)
    clock.advance(GRACE)
    reconcile(rt)
    clock.advance(timedelta(hours=72) - timedelta(seconds=30))
    later = lost(rt, twilio, accept, taken=True)
    clock.advance(timedelta(seconds=30))

    reconcile(rt)  # only the held one is due
    clock.advance(LOOKUP)
    reconcile(rt)

    assert sid_of(rt, held) is None
    assert sid_of(rt, later) == next(iter(twilio.records))


def test_identical_texts_of_different_senders_do_not_wait_for_each_other(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    one = lost(rt, twilio, accept, taken=False, sender="+15005550010")
    other = lost(rt, twilio, accept, taken=True, on_unconfirmed="resend")

    for _ in range(12):
        clock.advance(LOOKUP)
        reconcile(rt)

    assert sid_of(rt, one) is None
    assert (sid_of(rt, other), stored(rt, other).attempt) == (next(iter(twilio.records)), 1)


# What Twilio does to a body (F15).


TRIAL = "Sent from your Twilio trial account - "


@pytest.mark.parametrize("policy", ["hold", "resend", "fail"])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("hello", f"{TRIAL}hello"),
        ("It\u2019s \u201chere\u201d \u2014 at last\u2026", 'It\'s "here" - at last...'),
        ("  hello \n", "hello"),
        ("a\u00a0b\u202fc", "a b c"),
        ("\u00bd \uff01", "1/2 !"),
        ("e\u0301", "\u00e9"),
    ],
)
def test_a_text_is_found_whatever_twilio_did_to_it(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, policy: str, ours: str, theirs: str
) -> None:
    message_id = lost(rt, twilio, accept, taken=True, body=ours, on_unconfirmed=policy)
    [sid] = twilio.records
    twilio.records[sid] = replace(twilio.records[sid], body=theirs)

    for _ in range(12):
        clock.advance(LOOKUP)
        reconcile(rt)
        send_messages(rt)

    assert (sid_of(rt, message_id), len(twilio.sent)) == (sid, 1)


def test_an_exact_text_goes_before_what_may_have_been_made_of_another(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    curly = lost(rt, twilio, accept, taken=False, body="it\u2019s")
    plain = lost(rt, twilio, accept, taken=True, body="it's")

    clock.advance(LOOKUP)
    reconcile(rt)

    assert sid_of(rt, plain) == next(iter(twilio.records))
    assert sid_of(rt, curly) is None


@pytest.mark.parametrize("policy", ["hold", "resend", "fail"])
@pytest.mark.parametrize(
    "bodies",
    [
        pytest.param(["it's", f"{TRIAL}it's"], id="two texts, either of which may be ours"),
        pytest.param([""], id="redacted at Twilio"),
    ],
)
def test_what_cannot_be_told_is_held_whatever_the_policy(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, policy: str, bodies: list[str]
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, body="it\u2019s", on_unconfirmed=policy)
    for body in bodies:
        listed = record(clock, body=body)
        twilio.records[listed.sid] = listed

    for _ in range(12):
        clock.advance(LOOKUP)
        reconcile(rt)
        send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.outcome, message.twilio_sid) == ("unconfirmed", Outcome.UNCONFIRMED, None)
    assert twilio.sent == []


@pytest.mark.parametrize("theirs", ["hello!", "hell", "hello 2", "HELLO", "re: hello"])
def test_another_text_is_none_of_ours(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, theirs: str
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend")
    listed = record(clock, body=theirs)
    twilio.records[listed.sid] = listed
    clock.advance(GRACE)

    reconcile(rt)

    assert (stored(rt, message_id).status, stored(rt, message_id).attempt) == (Status.PENDING, 2)


# Settled by a callback.


def test_an_early_callback_spares_the_search(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=True)
    sid = next(iter(twilio.records))

    receive(rt, callback(rt, message_id, "sent", MessageSid=sid))
    clock.advance(LOOKUP)
    reconcile(rt)

    assert (sid_of(rt, message_id), twilio.fetched) == (sid, [sid])
    assert stored(rt, message_id).status == Status.SENT


def test_a_callback_that_comes_during_the_search_wins(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=True)
    sid = next(iter(twilio.records))
    list_to = twilio.list_to

    def overtaken(to: str, *, limit: int) -> Iterator[TwilioMessage]:
        receive(rt, callback(rt, message_id, "delivered", MessageSid=sid))
        yield from list_to(to, limit=limit)

    twilio.list_to = overtaken  # type: ignore[method-assign]
    clock.advance(LOOKUP)

    reconcile(rt)

    assert stored(rt, message_id).status == Status.DELIVERED


@pytest.mark.parametrize(
    ("word", "code", "outcome"),
    [("delivered", "", Outcome.DELIVERED), ("undelivered", "30003", Outcome.UNDELIVERED), ("sent", "", None)],
)
def test_a_late_callback_revises_what_was_held(
    rt: Runtime,
    twilio: FakeTwilio,
    clock: FakeClock,
    accept: Accept,
    word: str,
    code: str,
    outcome: Outcome | None,
) -> None:
    message_id = lost(rt, twilio, accept, taken=False)
    clock.advance(GRACE)
    reconcile(rt)
    assert stored(rt, message_id).outcome == Outcome.UNCONFIRMED

    receive(rt, callback(rt, message_id, word, MessageSid="SM" + "1" * 32, ErrorCode=code))

    message = stored(rt, message_id)
    assert (message.status, message.outcome) == (word, outcome)
    assert message.error_code == (int(code) if code else None)


# Ended as the caller wished.


def test_by_default_it_is_held_for_somebody_to_decide(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False)

    for _ in range(9):
        clock.advance(LOOKUP)
        reconcile(rt)
    before = stored(rt, message_id).outcome
    clock.advance(LOOKUP)
    reconcile(rt)
    send_messages(rt)

    message = stored(rt, message_id)
    assert before is None
    assert (message.status, message.outcome) == (Status.UNCONFIRMED, Outcome.UNCONFIRMED)
    assert message.error_code == OwnCode.NOT_FOUND_AT_TWILIO
    assert twilio.sent == []


def test_a_held_message_is_still_looked_for(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=True)
    hidden, twilio.records = twilio.records, {}
    clock.advance(GRACE)
    reconcile(rt)
    twilio.records = hidden
    clock.advance(timedelta(hours=72))

    reconcile(rt)

    assert (stored(rt, message_id).status, stored(rt, message_id).outcome) == (Status.QUEUED, None)


def test_it_is_sent_again_where_the_caller_wished_that(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend")
    clock.advance(GRACE)

    reconcile(rt)
    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.attempt) == (Status.QUEUED, 2)
    assert [(sent.id, sent.attempt) for sent in twilio.sent] == [(message_id, 2)]


def test_it_fails_where_the_caller_wished_that(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="fail")
    clock.advance(GRACE)

    reconcile(rt)

    message = stored(rt, message_id)
    assert (message.status, message.error_code) == (Status.FAILED, OwnCode.NOT_FOUND_AT_TWILIO)
    assert (message.outcome, message.due_at) == (Outcome.FAILED, None)


def test_delivery_of_the_first_attempt_counts_after_a_second_was_made(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend")
    clock.advance(GRACE)
    reconcile(rt)
    send_messages(rt)
    second_sid = sid_of(rt, message_id)

    receive(rt, callback(rt, message_id, "delivered", MessageSid="SM" + "1" * 32))
    receive(rt, callback(rt, message_id, "undelivered", attempt=2, ErrorCode="30003"))

    message = stored(rt, message_id)
    assert (message.status, message.outcome, message.error_code) == (
        Status.DELIVERED,
        Outcome.DELIVERED,
        None,
    )
    assert message.twilio_sid == second_sid


def test_delivery_of_the_first_attempt_spares_the_second(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend")
    clock.advance(GRACE)
    reconcile(rt)

    receive(rt, callback(rt, message_id, "delivered", MessageSid="SM" + "1" * 32))
    send_messages(rt)

    assert stored(rt, message_id).status == Status.DELIVERED
    assert twilio.sent == []


# Decided by an operator.


@pytest.mark.parametrize(
    ("decision", "status", "attempts"),
    [(Decision.RESEND, Status.QUEUED, [2]), (Decision.FAIL, Status.FAILED, [])],
)
def test_an_operator_decides_on_what_is_held(
    rt: Runtime,
    twilio: FakeTwilio,
    clock: FakeClock,
    accept: Accept,
    decision: Decision,
    status: Status,
    attempts: list[int],
) -> None:
    message_id = lost(rt, twilio, accept, taken=False)
    clock.advance(GRACE)
    reconcile(rt)

    decided = decide_unconfirmed(rt, message_id, decision)
    again = decide_unconfirmed(rt, message_id, decision)
    send_messages(rt)

    assert (decided, again) == (True, False)
    assert stored(rt, message_id).status == status
    assert [sent.attempt for sent in twilio.sent] == attempts


@pytest.mark.parametrize("policy", ["hold", "resend"])
def test_a_look_that_finds_nothing_new_only_moves_the_next_one(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, policy: str
) -> None:
    """Also after the answer to a second attempt was lost, whoever decided on that one."""
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed=policy)
    for _ in range(10):
        clock.advance(LOOKUP)
        reconcile(rt)
    if policy == "hold":
        decide_unconfirmed(rt, message_id, Decision.RESEND)
    twilio.behaviours = [twilio.lose]
    send_messages(rt)

    for _ in range(9):
        clock.advance(LOOKUP)
        reconcile(rt)
    clock.advance(LOOKUP)
    for _ in range(3):
        reconcile(rt)
        clock.advance(timedelta(hours=72) if policy == "hold" else timedelta())

    told = Counter((event.attempt, event.reason) for event in events(rt, message_id))
    assert told[1, "not_found_yet"] == told[2, "not_found_yet"] == 1
    assert told[1, "held"] == told[2, "held"] == (policy == "hold")
    assert told[3, "resend_unconfirmed"] == (policy == "resend")
    assert stored(rt, message_id).due_at == clock()
    assert len(consumers_heard(rt)) == len(set(consumers_heard(rt)))


def consumers_heard(rt: Runtime) -> list[tuple[str, int | None]]:
    """Return what consumers hear of messages: each kind of event with the place in the history that it tells of."""
    with rt.sessions() as session:
        return [(row.type, row.event_seq) for row in session.scalars(select(OutboxEvent))]


def test_an_operator_decides_on_nothing_else(rt: Runtime, accept: Accept) -> None:
    message_id = accept()

    assert not decide_unconfirmed(rt, message_id, Decision.FAIL)
    assert not decide_unconfirmed(rt, uuid4(), Decision.FAIL)
    assert stored(rt, message_id).status == Status.PENDING


# What Twilio wrote itself.

SERVICE = "MG" + "1" * 32
TEMPLATE: dict[str, Any] = {
    "body": "",
    "options": {"content_sid": "HX" + "1" * 32, "content_variables": {"1": "Ann"}},
}
MEDIA: dict[str, Any] = {"body": "", "media_urls": ["https://example.com/a.png"]}
SMART: dict[str, Any] = {"body": "\u2022 \u2039it\u2019s\u203a", "options": {"smart_encoded": True}}
SHORT: dict[str, Any] = {
    "body": "see https://example.com/a/long/path?x=1",
    "options": {"shorten_urls": True},
    "messaging_service_sid": SERVICE,
}


@pytest.mark.parametrize(
    ("draft", "listed"),
    [
        (TEMPLATE, {"body": "Hello Ann, your order is on its way."}),
        (MEDIA, {"body": "", "num_media": 1}),
        (SMART, {"body": "- >it's<"}),
        (SMART, {"body": "\u2022 \u2039it\u2019s\u203a"}),
        (SHORT, {"body": "see https://twil.io/a1b2c3d4e5"}),
    ],
)
def test_what_twilio_made_of_it_is_found_by_listing(
    rt: Runtime,
    twilio: FakeTwilio,
    clock: FakeClock,
    accept: Accept,
    draft: dict[str, Any],
    listed: dict[str, Any],
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend", **draft)
    theirs = record(clock, **listed)
    twilio.records[theirs.sid] = theirs

    clock.advance(LOOKUP)
    reconcile(rt)

    assert sid_of(rt, message_id) == theirs.sid
    assert twilio.sent == []


@pytest.mark.parametrize(
    ("draft", "listed"),
    [
        (TEMPLATE, [{"body": "Hello Ann."}, {"body": "Hello Bob."}]),
        (MEDIA, [{"body": "", "num_media": 0}]),  # a redacted text
        (SHORT, [{"body": ""}]),
    ],
)
def test_what_may_be_ours_and_cannot_be_told_is_held_whatever_the_policy(
    rt: Runtime,
    twilio: FakeTwilio,
    clock: FakeClock,
    accept: Accept,
    draft: dict[str, Any],
    listed: list[dict[str, Any]],
) -> None:
    message_id = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend", **draft)
    for each in listed:
        theirs = record(clock, **each)
        twilio.records[theirs.sid] = theirs

    clock.advance(GRACE)
    reconcile(rt)

    message = stored(rt, message_id)
    assert (message.status, message.outcome) == (Status.UNCONFIRMED, Outcome.UNCONFIRMED)
    assert twilio.sent == []


def test_a_text_is_matched_before_a_content_template(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    template = accept(**TEMPLATE)
    text = accept()
    twilio.behaviours = [twilio.lose, twilio.lose]
    send_messages(rt)
    ours, other = record(clock), record(clock, body="Hello Ann.")
    twilio.records = {ours.sid: ours, other.sid: other}

    clock.advance(LOOKUP)
    reconcile(rt)

    assert (sid_of(rt, text), sid_of(rt, template)) == (ours.sid, other.sid)


def test_another_text_of_ours_is_not_taken_for_a_content_template(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    accept()
    send_messages(rt)
    template = lost(rt, twilio, accept, taken=False, on_unconfirmed="resend", **TEMPLATE)

    clock.advance(GRACE)
    reconcile(rt)

    assert stored(rt, template).status == Status.PENDING  # it was not found, so it may go out again
