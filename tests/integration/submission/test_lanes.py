"""Lanes and fair turns: what goes first, and that nobody's ten texts wait for another's ten thousand."""

from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session, sessionmaker

from smsapp.breakers import queries as breakers
from smsapp.ids import new_id
from smsapp.keys import queries as api_keys
from smsapp.keys.models import ApiKey
from smsapp.maintenance import wake_for_due
from smsapp.messages import reads
from smsapp.messages.models import Message
from smsapp.pacing import backlog as queues
from smsapp.pacing import due
from smsapp.pacing.fairness import MessageQueue, Share
from smsapp.queue.lanes import Lane
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.submission.send import send_messages
from tests.support.environment import SENDER
from tests.support.fakes import FakeClock, FakeTaskQueue, FakeTwilio
from tests.support.messages import Accept

OTHER = "+15005550009"
HOUR = timedelta(hours=1)
ALL_BUT_NESTED_LOOPS = ("hashjoin", "mergejoin", "hashagg", "sort", "material", "memoize")
"""Without these PostgreSQL compares row by row, and runs anew for each row what it need not keep."""


@pytest.fixture
def other_key(sessions: sessionmaker[Session], clock: FakeClock, api_key: str) -> UUID:
    """The id of a second API key."""
    with sessions.begin() as session:
        api_keys.issue(session, "other", mode="live", now=clock())
        return session.scalars(select(ApiKey.id).where(ApiKey.name == "other")).one()


def waiting(rt: Runtime, lane: Lane = Lane.NORMAL) -> list[tuple[str, int]]:
    with rt.sessions() as session:
        found, _ = queues.waiting(session, lane, now=rt.clock())
    return [(each.queue.sender, each.head_segments) for each in found]


def keys_in_order(rt: Runtime, twilio: FakeTwilio) -> list[UUID]:
    """Return whose messages were sent, in the order in which they were."""
    with rt.sessions() as session:
        return [message.api_key_id for sent in twilio.sent if (message := reads.get(session, sent.id))]


def test_each_lane_has_a_drain_of_its_own(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    ids = {lane: accept(lane=lane) for lane in (Lane.BULK, Lane.NORMAL, Lane.OTP)}

    for lane in Lane:
        send_messages(rt, lane=lane)

    assert [sent.id for sent in twilio.sent] == [ids[lane] for lane in Lane]


def test_a_message_wakes_its_lanes_drain_and_so_does_the_sweep(
    rt: Runtime, tasks: FakeTaskQueue, accept: Accept
) -> None:
    accept(lane=Lane.OTP)
    accept(lane=Lane.BULK)

    swept = wake_for_due(rt)

    both = [(Task.SEND_OTP, 0), (Task.SEND_BULK, 0)]
    assert (swept, tasks.woken) == (2, both + both)


def test_another_attempt_stays_in_its_lane(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    accept(lane=Lane.OTP)
    twilio.behaviours = [twilio.unreachable]

    send_messages(rt, lane=Lane.OTP)
    clock.advance(timedelta(minutes=5))
    with rt.sessions() as session:
        lanes = due.due_lanes(session, now=rt.clock())
    send_messages(rt, lane=Lane.OTP)

    assert (lanes, len(twilio.sent), twilio.sent[0].attempt) == ([Lane.OTP], 1, 2)


def test_ten_of_one_key_do_not_wait_for_hundreds_of_another(
    rt: Runtime, twilio: FakeTwilio, accept: Accept, other_key: UUID
) -> None:
    rt = replace(rt, settings=rt.settings.model_copy(update={"send_concurrency": 8}))
    for _ in range(200):
        accept()
    for _ in range(10):
        accept(api_key_id=other_key)

    sent = send_messages(rt)

    order = keys_in_order(rt, twilio)
    assert (sent, len(order)) == (210, 210)
    last = max(place for place, key in enumerate(order) if key == other_key)
    assert last < 60, "the first round is blind, then each gets half"


def test_a_share_takes_the_oldest_of_its_queue_and_no_more(
    rt: Runtime, clock: FakeClock, accept: Accept, other_key: UUID
) -> None:
    mine, others = [], []
    for _ in range(3):
        clock.advance(timedelta(seconds=1))
        mine.append(accept())
        others.append(accept(api_key_id=other_key, sender=OTHER))
    with rt.sessions() as session:
        key = reads.get(session, mine[0])
        assert key
    shares = [Share(MessageQueue(SENDER, key.api_key_id), 2), Share(MessageQueue(OTHER, other_key), 1)]

    with rt.sessions.begin() as session:
        claimed = claims.claim_shares(
            session, shares, lane=Lane.NORMAL, now=rt.clock(), lease=timedelta(seconds=60)
        )

    assert {message.id for message in claimed} == {*mine[:2], others[0]}


def test_queues_are_found_once_each_with_the_size_of_their_oldest(
    rt: Runtime, clock: FakeClock, accept: Accept, other_key: UUID
) -> None:
    accept(body="x" * 161)
    clock.advance(timedelta(seconds=1))
    accept()
    accept(api_key_id=other_key)
    accept(sender=OTHER)
    accept(sender=None, messaging_service_sid="MG" + "1" * 32)
    accept(sender="not due", send_at=rt.clock() + timedelta(hours=1))
    accept(lane=Lane.BULK)

    assert sorted(waiting(rt)) == sorted([(SENDER, 2), (SENDER, 1), (OTHER, 1), ("MG" + "1" * 32, 1)])
    assert waiting(rt, Lane.BULK) == [(SENDER, 1)]
    assert waiting(rt, Lane.OTP) == []


@pytest.mark.parametrize(("scope", "left"), [(OTHER, [(SENDER, 1)]), (breakers.ACCOUNT, [])])
def test_what_is_closed_does_not_wait(
    rt: Runtime, accept: Accept, scope: str, left: list[tuple[str, int]]
) -> None:
    accept()
    accept(sender=OTHER)

    with rt.sessions.begin() as session:
        later = rt.clock() + timedelta(minutes=1)
        breakers.trip(session, scope, parked=True, error_code=None, reason="", now=rt.clock(), probe_at=later)

    assert waiting(rt) == left


def test_more_queues_than_fit_into_one_look_take_turns(
    rt: Runtime, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queues, "MAX_QUEUES", 2)
    senders = [f"+1500555000{number}" for number in range(5)]
    for sender in senders:
        accept(sender=sender)

    seen, after = [], queues.START
    for _ in range(3):
        with rt.sessions() as session:
            found, after = queues.waiting(session, Lane.NORMAL, now=rt.clock(), after=after)
        seen += [each.queue.sender for each in found]

    assert (seen, after) == (senders, queues.START)


def test_no_more_is_taken_out_of_a_long_queue_however_it_is_planned(
    rt: Runtime, accept: Accept, sessions: sessionmaker[Session]
) -> None:
    template = accept()
    with sessions.begin() as session:
        session.execute(text("ANALYZE"))  # what PostgreSQL then plans for one row is not fit for thousands
    with sessions.begin() as session:
        row = reads.get(session, template)
        assert row
        names = [column.name for column in Message.__table__.columns if column.computed is None]
        values = {name: getattr(row, name) for name in names}
        session.execute(insert(Message), [values | {"id": new_id()} for _ in range(5000)])
    with sessions.begin() as session:  # PostgreSQL plans anew once it has seen a statement a few times
        if session.get_bind().dialect.name == "postgresql":
            for kind in ALL_BUT_NESTED_LOOPS:
                session.execute(text(f"SET LOCAL enable_{kind} = off"))
        shares = [
            Share(MessageQueue(SENDER, row.api_key_id), 3),
            Share(MessageQueue(OTHER, row.api_key_id), 3),
        ]
        claim = {"session": session, "lane": Lane.NORMAL, "now": rt.clock(), "lease": HOUR}
        claimed = [
            (len(claims.claim_shares(shares=part, **claim)), len(claims.claim_due(limit=3, **claim)))
            for part in (shares[:1], shares) * 12
        ]

    assert claimed == [(3, 3)] * 24


def test_a_share_of_a_sender_that_has_just_been_closed_is_not_taken(
    rt: Runtime, accept: Accept, sessions: sessionmaker[Session]
) -> None:
    accept()
    with sessions() as session:
        share = Share(queues.waiting(session, Lane.NORMAL, now=rt.clock())[0][0].queue, 1)
    with sessions.begin() as session:
        breakers.trip(
            session,
            SENDER,
            parked=True,
            error_code=None,
            reason="",
            now=rt.clock(),
            probe_at=rt.clock() + HOUR,
        )

    with sessions.begin() as session:
        taken = claims.claim_shares(session, [share], lane=Lane.NORMAL, now=rt.clock(), lease=HOUR)

    assert taken == []
