"""Callbacks from the stream into histories: none is lost, none counts twice, and a poison one costs only itself."""

import json
import random
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from alembic import command
from redis import Redis
from sqlalchemy import func, select
from sqlalchemy.exc import OperationalError

from dev.servers import PostgresServer
from smsapp.callbacks import dead_letters, spool
from smsapp.callbacks.drain_spool import drain_spool
from smsapp.callbacks.models import SpooledCallback
from smsapp.callbacks.replay import replay_dead_letters
from smsapp.callbacks.stream import GROUP, STREAM, CallbackStream
from smsapp.callbacks.track import persist_entries, reclaim_callbacks, track_callbacks
from smsapp.cli.database import alembic_config
from smsapp.ids import public_id
from smsapp.inbound.models import InboundMessage
from smsapp.lifecycle import record_reports
from smsapp.messages.documents import message_view
from smsapp.messages.fold import MessageState, Reason, Report
from smsapp.messages.fold import apply_report as real_fold
from smsapp.messages.models import MessageEvent
from smsapp.messages.status import Outcome, Status
from smsapp.runtime import Runtime
from smsapp.submission.outbound import Outbound
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import Submission
from tests.support.callbacks import POISON, append, callback, letters, raw_callback, receive
from tests.support.environment import make_settings
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept, events, stored

SAMPLES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[2] / "data" / "twilio-vectors.json").read_text()
)["callback_samples"]


pytestmark = pytest.mark.usefixtures("histories_tell_the_state")


@pytest.fixture
def message_id(rt: Runtime, accept: Accept) -> UUID:
    """A message that Twilio has queued."""
    accepted = accept()
    send_messages(rt)
    return accepted


def callbacks_kept(rt: Runtime, message_id: UUID) -> list[tuple[str, bool, str | None]]:
    return [
        (event.status, event.applied, event.reason)
        for event in events(rt, message_id)
        if event.source == "callback"
    ]


# What a callback does.

ENDS: dict[str, tuple[str, str | None, int | None]] = {
    "accepted-not-normally-sent": ("accepted", None, None),
    "queued-after-accepted": ("queued", None, None),
    "sending-rare": ("sending", None, None),
    "sent": ("sent", None, None),
    "delivered": ("delivered", "delivered", None),
    "delivered-no-dlr-date": ("delivered", "delivered", None),
    "undelivered-30003": ("undelivered", "undelivered", 30003),
    "undelivered-30005": ("undelivered", "undelivered", 30005),
    "undelivered-30007": ("undelivered", "undelivered", 30007),
    "undelivered-30034": ("undelivered", "undelivered", 30034),
    "failed-30001": ("failed", "failed", 30001),
    "failed-30036": ("failed", "failed", 30036),
    "failed-21610-messaging-service": ("failed", "failed", 21610),
    "failed-no-errorcode": ("failed", "failed", None),
    "failed-errormessage-present": ("failed", "failed", 30008),
    "canceled": ("canceled", "canceled", None),
    "read-channel": ("read", "delivered", None),
    "delivered-unknown-new-params": ("delivered", "delivered", None),
    "unknown-status": ("unconfirmed", None, 2),
}


def test_the_samples_are_all_expected() -> None:
    assert {sample["name"] for sample in SAMPLES if not sample["name"].startswith("inbound")} == set(ENDS)


def without_person(form: dict[str, str], *names: str) -> dict[str, str]:
    """Return Twilio's parameters without those that name a person, or say what was said."""
    places = {f"{end}{part}" for end in ("From", "To") for part in ("City", "State", "Zip")}
    told = {"To", "Body", "WaId", "ProfileName", "ChannelToAddress", *names} | places
    return {name: value for name, value in form.items() if name not in told}


def test_each_sample_of_twilios_ends_in_its_status(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    samples = {sample["name"]: sample["params"] for sample in SAMPLES if sample["name"] in ENDS}
    ids = {name: accept() for name in samples}
    twilio.behaviours = [twilio.lose] * len(ids)
    send_messages(rt)
    forms = {
        name: params | {"MessageSid": f"SM{number:032}"}
        for number, (name, params) in enumerate(samples.items())
    }

    receive(rt, *(raw_callback(rt, public_id(ids[name]), urlencode(form)) for name, form in forms.items()))

    found = {name: stored(rt, message_id) for name, message_id in ids.items()}
    assert {name: (m.status, m.outcome, m.error_code) for name, m in found.items()} == ENDS
    assert {name: m.twilio_sid for name, m in found.items()} == {
        name: form["MessageSid"] for name, form in forms.items()
    }
    kept = {name: events(rt, message_id)[-1].payload for name, message_id in ids.items()}
    assert kept == {name: without_person(form) for name, form in forms.items()}


def test_each_inbound_sample_is_stored_once(rt: Runtime) -> None:
    samples = [sample["params"] for sample in SAMPLES if sample["name"] not in ENDS]
    forms = [params | {"MessageSid": f"SM{number:032}"} for number, params in enumerate(samples)]

    receive(rt, *(raw_callback(rt, None, urlencode(form), kind="inbound") for form in forms * 3))

    with rt.sessions() as session:
        texts = session.scalars(select(InboundMessage).order_by(InboundMessage.twilio_sid)).all()
    assert [(text.body, text.opt_out_type, text.payload) for text in texts] == [
        (form["Body"], form.get("OptOutType"), without_person(form, "From")) for form in forms
    ]


def test_a_history_only_grows(rt: Runtime, message_id: UUID) -> None:
    receive(rt, callback(rt, message_id, "sent"))
    before = [(event.seq, event.receipt_id, event.payload) for event in events(rt, message_id)]

    receive(rt, callback(rt, message_id, "delivered", SomeFutureParam="x y+z"))

    after = [(event.seq, event.receipt_id, event.payload) for event in events(rt, message_id)]
    assert after[: len(before)] == before
    assert [seq for seq, _, _ in after] == [1, 2, 3, 4, 5]
    assert after[-1][2] is not None
    assert after[-1][2]["SomeFutureParam"] == "x y+z"


def test_repeated_and_late_callbacks_are_kept_and_marked(rt: Runtime, message_id: UUID) -> None:
    words = ["sent", "delivered", "sent", "delivered", "queued", "some_new_word"]

    receive(rt, *(callback(rt, message_id, word) for word in words))

    assert callbacks_kept(rt, message_id) == [
        ("sent", True, None),
        ("delivered", True, None),
        ("sent", False, Reason.DUPLICATE),
        ("delivered", False, Reason.DUPLICATE),
        ("queued", False, Reason.LATE),
        ("some_new_word", False, Reason.UNKNOWN_STATUS),
    ]
    assert stored(rt, message_id).status == Status.DELIVERED


def test_the_idempotency_token_is_kept(rt: Runtime, message_id: UUID) -> None:
    receive(rt, callback(rt, message_id, "sent")._replace(idempotency_token="7f3c"))

    payload = events(rt, message_id)[-1].payload
    assert payload is not None
    assert payload["I-Twilio-Idempotency-Token"] == "7f3c"


def test_a_callback_on_the_bare_path_finds_its_message_by_its_sid(rt: Runtime, message_id: UUID) -> None:
    receive(rt, callback(rt, message_id, "delivered")._replace(target=None))

    assert stored(rt, message_id).status == Status.DELIVERED


def overtaking(
    rt: Runtime, twilio: FakeTwilio, words: list[str], *, answered: bool, bare: bool = False
) -> None:
    """Make Twilio's callbacks overtake its answer, which may not come at all."""

    def submit(message: Outbound) -> Submission:
        record = twilio.accept(message).message
        assert record is not None
        target = None if bare else public_id(message.id)
        for word in words:
            body = urlencode({"MessageSid": record.sid, "MessageStatus": word})
            receive(rt, raw_callback(rt, target, body))
        return Submission(message=record) if answered else twilio.lose(message)

    twilio.behaviours = [submit]


def test_callbacks_may_overtake_twilios_answer(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept()
    overtaking(rt, twilio, ["sent", "delivered"], answered=True)

    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.twilio_sid) == (Status.DELIVERED, next(iter(twilio.records)))
    assert [(e.source, e.status, e.applied) for e in events(rt, message_id)][2:] == [
        ("callback", "sent", True),
        ("callback", "delivered", True),
        ("api", "queued", False),
    ]


def test_a_callback_stands_in_for_an_answer_that_never_came(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    message_id = accept()
    overtaking(rt, twilio, ["sent"], answered=False)

    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.twilio_sid) == (Status.SENT, next(iter(twilio.records)))
    assert message.error_code is None


def test_a_callback_of_a_later_attempt_names_it(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    twilio.behaviours = [twilio.unreachable]
    send_messages(rt)
    clock.advance(timedelta(minutes=1))
    send_messages(rt)

    receive(rt, callback(rt, message_id, "delivered", attempt=2))

    assert stored(rt, message_id).status == Status.DELIVERED
    assert events(rt, message_id)[-1].attempt == 2


def test_a_failed_text_is_sent_again_where_the_caller_allowed_it(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(resend_after_failure=True)
    send_messages(rt)
    first_sid = stored(rt, message_id).twilio_sid
    assert first_sid is not None

    receive(rt, callback(rt, message_id, "undelivered", ErrorCode="30003"))
    waiting = stored(rt, message_id)
    clock.advance(timedelta(hours=1))
    send_messages(rt)
    again = stored(rt, message_id)
    receive(rt, callback(rt, message_id, "failed", MessageSid=first_sid))
    receive(rt, callback(rt, message_id, "sent", MessageSid=first_sid)._replace(target=None))
    receive(rt, callback(rt, message_id, "delivered", attempt=2))

    assert (waiting.status, waiting.attempt, waiting.twilio_sid) == (Status.PENDING, 2, None)
    assert (again.status, again.twilio_sid) == (Status.QUEUED, list(twilio.records)[1])
    assert (stored(rt, message_id).status, stored(rt, message_id).outcome) == (
        Status.DELIVERED,
        Outcome.DELIVERED,
    )
    assert [(e.status, e.attempt, e.reason) for e in events(rt, message_id)][-3:] == [
        ("failed", 1, Reason.EARLIER_ATTEMPT),
        ("sent", 1, Reason.EARLIER_ATTEMPT),
        ("delivered", 2, None),
    ]


# Odd and poisonous ones.


ODD = {
    "NUL in a value": "Odd=a%00b",
    "NUL in a name": "Od%00d=ab",
    "very long": "Odd=" + "x" * 60_000,
    "separators": "=&&==&%26=%3D",
    "beyond the BMP": "Emoji=%F0%9F%98%80&Null=%E2%90%80",
    "an absurd error code": "ErrorCode=99999999999999999999",
    "repeated": "MessageStatus=sent&MessageStatus=sent",
}


def test_an_odd_callback_counts_like_any_other(rt: Runtime, accept: Accept) -> None:
    ids = {what: accept() for what in ODD}
    send_messages(rt)
    plain = {what: f"MessageSid={stored(rt, ids[what]).twilio_sid}&MessageStatus=sent" for what in ODD}

    receive(
        rt, *(raw_callback(rt, public_id(ids[what]), f"{plain[what]}&{extra}") for what, extra in ODD.items())
    )

    assert {what: stored(rt, ids[what]).status for what in ODD} == dict.fromkeys(ODD, "sent")
    assert letters(rt) == []


def test_an_odd_status_is_kept_as_one_that_is_not_known(rt: Runtime, message_id: UUID) -> None:
    receive(rt, *(callback(rt, message_id, word) for word in ["x" * 500, "\x00", "sent\x00", "💥"]))

    assert callbacks_kept(rt, message_id) == [
        ("x" * 32, False, Reason.UNKNOWN_STATUS),
        ("\ufffd", False, Reason.UNKNOWN_STATUS),
        ("sent\ufffd", False, Reason.UNKNOWN_STATUS),
        ("💥", False, Reason.UNKNOWN_STATUS),
    ]
    assert stored(rt, message_id).status == Status.QUEUED
    assert letters(rt) == []


def test_a_poison_callback_in_a_batch_of_500_costs_only_itself(rt: Runtime, accept: Accept) -> None:
    ids = [accept() for _ in range(10)]
    send_messages(rt)
    good = [callback(rt, message_id, "sent") for message_id in ids for _ in range(50)][:499]
    assert rt.settings.callback_batch >= 500

    receive(rt, *good[:333], raw_callback(rt, public_id(ids[0]), POISON), *good[333:])

    assert {stored(rt, message_id).status for message_id in ids} == {Status.SENT}
    assert sum(1 + repeats for each in ids for _, _, repeats in repeats_kept(rt, each)) == 499
    assert letters(rt) == [(POISON, "InvalidCallbackError: a status callback without MessageStatus")]
    assert rt.stream.length() == 0


def test_whatever_is_poisonous_blocks_nothing(rt: Runtime, message_id: UUID) -> None:
    sid = "MessageSid=SM11111111111111111111111111111111"
    poison = [
        raw_callback(rt, "msg_\x00", f"{sid}&MessageStatus=sent"),
        raw_callback(rt, None, f"{sid}&MessageStatus=sent%ff"),
        raw_callback(rt, None, f"{sid}&MessageStatus=sent&" + "&".join(["a=b"] * 2000)),
        raw_callback(rt, None, ""),
        raw_callback(rt, None, "\x00\x00"),
    ]

    receive(rt, *poison, callback(rt, message_id, "sent"))

    with rt.sessions() as session:
        kept = sum(spool.count(session).values()) + dead_letters.count(session)
    assert stored(rt, message_id).status == Status.SENT
    assert kept == len(poison)
    assert rt.stream.length() == 0


def test_an_inbound_text_without_a_sender_is_a_dead_letter(rt: Runtime, message_id: UUID) -> None:
    receive(rt, raw_callback(rt, None, POISON, kind="inbound"), callback(rt, message_id, "sent"))

    assert stored(rt, message_id).status == Status.SENT
    assert [body for body, _ in letters(rt)] == [POISON]


def test_a_defect_of_ours_costs_only_the_callback_that_meets_it_and_is_mended_by_a_replay(
    rt: Runtime, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = [accept() for _ in range(4)]
    send_messages(rt)

    def broken(message: MessageState, report: Report) -> Any:
        if report.error_code == 30666:
            raise ZeroDivisionError("a defect")
        return real_fold(message, report)

    with monkeypatch.context() as patched:
        patched.setattr(record_reports, "apply_report", broken)
        receive(
            rt,
            callback(rt, ids[0], "sent"),
            callback(rt, ids[1], "undelivered", ErrorCode="30666"),
            callback(rt, ids[2], "sent"),
            callback(rt, ids[3], "sent"),
        )
    before = [stored(rt, message_id).status for message_id in ids]
    buried = letters(rt)
    outcome = replay_dead_letters(rt)

    assert before == ["sent", "queued", "sent", "sent"]
    assert [cause for _, cause in buried] == ["ZeroDivisionError: a defect"]
    assert outcome == (1, 0)
    assert stored(rt, ids[1]).status == Status.UNDELIVERED
    assert letters(rt) == []


def test_an_entry_that_is_no_callback_is_a_dead_letter(rt: Runtime, redis_url: str, message_id: UUID) -> None:
    with Redis.from_url(redis_url) as redis:
        redis.xadd(STREAM, {"v": b"\x00 no JSON"})
        redis.xadd(STREAM, {"what": "is this"})
        redis.xadd(STREAM, {"v": b'["not", "a", "callback"]'})

    receive(rt, callback(rt, message_id, "sent"))

    assert stored(rt, message_id).status == Status.SENT
    assert [cause for _, cause in letters(rt)] == ["unreadable stream entry"] * 3
    assert rt.stream.length() == 0


# Messages that are not known, or not yet.


def test_a_callback_about_no_message_of_ours_is_kept(rt: Runtime) -> None:
    body = "MessageSid=SM11111111111111111111111111111111&MessageStatus=sent"

    receive(rt, raw_callback(rt, public_id(uuid4()), body), raw_callback(rt, None, body))

    with rt.sessions() as session:
        assert spool.count(session) == {spool.UNKNOWN_MESSAGE: 2}
    assert letters(rt) == []
    assert rt.stream.length() == 0


def test_a_callback_that_came_before_its_sid_was_known_counts_once_it_is(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    message_id = accept()
    overtaking(rt, twilio, ["sent", "delivered"], answered=True, bare=True)

    send_messages(rt)
    before = stored(rt, message_id).status
    processed = drain_spool(rt)

    assert (before, processed) == (Status.QUEUED, 2)
    assert stored(rt, message_id).status == Status.DELIVERED
    with rt.sessions() as session:
        assert session.scalars(select(SpooledCallback)).all() == []


# Crashes.


class DyingStream(CallbackStream):
    """A stream whose consumer dies between its commit and its acknowledgement."""

    def acknowledge(self, _entry_ids: Any) -> None:
        raise SystemExit("killed")


def another_worker(
    rt: Runtime, redis_url: str, kind: Callable[..., CallbackStream] = CallbackStream
) -> Runtime:
    """Return the runtime of another process, which takes over what others left at once."""
    stream = kind(Redis.from_url(redis_url, protocol=2), consumer=f"another-{uuid4()}")
    settings = rt.settings.model_copy(update={"stream_reclaim_after": timedelta()})
    return replace(rt, stream=stream, settings=settings)


def test_what_a_worker_committed_but_did_not_acknowledge_counts_once(
    rt: Runtime, redis_url: str, message_id: UUID
) -> None:
    append(rt, *(callback(rt, message_id, word) for word in ["sent", "sent", "delivered"]))
    with pytest.raises(SystemExit):
        track_callbacks(another_worker(rt, redis_url, DyingStream))
    first = callbacks_kept(rt, message_id)

    reclaimed = reclaim_callbacks(another_worker(rt, redis_url))

    assert reclaimed == 3
    assert first == [("sent", True, None), ("sent", False, "duplicate"), ("delivered", True, None)]
    assert callbacks_kept(rt, message_id) == first
    assert rt.stream.length() == 0
    assert letters(rt) == []


def test_what_was_appended_twice_because_the_answer_was_lost_counts_once(
    rt: Runtime, message_id: UUID
) -> None:
    sent, delivered = (callback(rt, message_id, word) for word in ["sent", "delivered"])

    receive(rt, sent, sent, delivered, sent, delivered)

    assert callbacks_kept(rt, message_id) == [("sent", True, None), ("delivered", True, None)]
    assert stored(rt, message_id).status == "delivered"
    assert letters(rt) == []


def test_a_failed_text_is_not_sent_again_twice_when_its_callback_comes_twice(
    rt: Runtime, redis_url: str, accept: Accept
) -> None:
    message_id = accept(resend_after_failure=True)
    send_messages(rt)
    append(rt, callback(rt, message_id, "undelivered", ErrorCode="30003"))
    with pytest.raises(SystemExit):
        track_callbacks(another_worker(rt, redis_url, DyingStream))

    reclaim_callbacks(another_worker(rt, redis_url))

    message = stored(rt, message_id)
    assert (message.status, message.attempt, message.resends_left) == (Status.PENDING, 2, 1)


def test_what_a_dead_worker_took_is_taken_over(rt: Runtime, redis_url: str, message_id: UUID) -> None:
    append(rt, callback(rt, message_id, "delivered"))
    taken = another_worker(rt, redis_url).stream.read(100)

    too_early = reclaim_callbacks(rt)
    in_time = reclaim_callbacks(another_worker(rt, redis_url))

    assert (len(taken), too_early, in_time) == (1, 0, 1)
    assert stored(rt, message_id).status == Status.DELIVERED


def test_what_is_not_committed_is_not_acknowledged(
    rt: Runtime, redis_url: str, message_id: UUID, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(rt, callback(rt, message_id, "delivered"))
    stopped = another_worker(rt, redis_url)
    stopped.stopping.set()  # so that it does not wait for the database
    entries = stopped.stream.read(100)

    def away(*_: Any) -> Any:
        raise OperationalError("SELECT 1", {}, Exception("the database system is shutting down"))

    with monkeypatch.context() as patched:
        patched.setattr(record_reports, "apply_report", away)
        with pytest.raises(OperationalError):
            persist_entries(stopped, entries)
    left = rt.stream.length()
    stopped.stopping.clear()
    reclaim_callbacks(another_worker(rt, redis_url))

    assert left == 1
    assert stored(rt, message_id).status == Status.DELIVERED
    assert letters(rt) == []


def test_after_a_flush_the_stream_and_its_group_come_back_by_themselves(
    rt: Runtime, redis_url: str, message_id: UUID
) -> None:
    receive(rt, callback(rt, message_id, "sent"))
    with Redis.from_url(redis_url) as redis:
        redis.flushall()

    idle = (track_callbacks(rt), reclaim_callbacks(rt))
    receive(rt, callback(rt, message_id, "delivered"))

    assert idle == (0, 0)
    assert stored(rt, message_id).status == Status.DELIVERED


def test_callbacks_from_before_the_group_are_read(rt: Runtime, redis_url: str, message_id: UUID) -> None:
    append(rt, callback(rt, message_id, "sent"))
    receive(rt, callback(rt, message_id, "delivered"))
    append(rt, callback(rt, message_id, "queued"))
    with Redis.from_url(redis_url) as redis:
        redis.xgroup_destroy(STREAM, GROUP)

    track_callbacks(rt)

    assert len(callbacks_kept(rt, message_id)) == 3


# Several at once.


def test_two_drains_at_once_lose_nothing_and_end_right(rt: Runtime, redis_url: str, accept: Accept) -> None:
    ids = [accept() for _ in range(12)]
    send_messages(rt)
    words = ["queued", "sent", "sent", "delivered", "sending"]
    everything = [callback(rt, message_id, word) for message_id in ids for word in words]
    random.Random(7).shuffle(everything)
    append(rt, *everything)
    small = rt.settings.model_copy(update={"callback_batch": 7})
    workers = [replace(another_worker(rt, redis_url), settings=small) for _ in range(3)]

    with ThreadPoolExecutor(3) as pool:
        total = sum(pool.map(track_callbacks, workers))

    assert total == len(everything)
    assert {stored(rt, message_id).status for message_id in ids} == {Status.DELIVERED}
    for message_id in ids:
        assert sorted(word for word, _, _ in callbacks_kept(rt, message_id)) == sorted(words)
        assert [event.seq for event in events(rt, message_id)] == list(range(1, 3 + 1 + len(words)))
    assert rt.stream.length() == 0
    assert letters(rt) == []


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL that this module may stop."""
    with PostgresServer(tmp_path_factory.mktemp("stoppable")) as server:
        command.upgrade(
            alembic_config(make_settings(database_url=server.create_database("stoppable"))), "head"
        )
        yield server


class TestWithADatabaseThatStops:
    """PostgreSQL goes away in the middle, and comes back."""

    @pytest.fixture
    def database_url(self, server: PostgresServer) -> str:
        return server.url("stoppable")

    def test_callbacks_wait_for_it_in_the_stream(
        self, rt: Runtime, redis_url: str, server: PostgresServer, accept: Accept
    ) -> None:
        ids = [accept() for _ in range(5)]
        send_messages(rt)
        append(rt, *(callback(rt, message_id, word) for message_id in ids for word in ["sent", "delivered"]))
        server.stop("immediate")

        with ThreadPoolExecutor(1) as pool, Redis.from_url(redis_url) as redis:
            draining = pool.submit(track_callbacks, rt)
            while not redis.exists(STREAM) or not redis.xinfo_groups(STREAM) or not taken(redis):
                assert not draining.done(), draining.exception()
            waiting = rt.stream.length()
            server.start()
            persisted = draining.result(timeout=30)

        assert (waiting, persisted) == (10, 10)
        assert {stored(rt, message_id).status for message_id in ids} == {Status.DELIVERED}
        assert rt.stream.length() == 0
        with rt.sessions() as session:
            kept = select(func.count()).select_from(MessageEvent).where(MessageEvent.source == "callback")
            assert session.scalar(kept) == 10


def taken(redis: Redis) -> bool:
    """Return whether some worker holds callbacks."""
    pending: Any = redis.xpending(STREAM, GROUP)
    return bool(pending["pending"])


# What it says beside the status.


def test_the_sender_comes_with_any_callback_and_with_no_further_statement(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    message_id = accept(sender=None, messaging_service_sid="MG" + "1" * 32)
    send_messages(rt)
    receive(rt, callback(rt, message_id, "sent"))

    receive(rt, callback(rt, message_id, "queued", From="+15005550011"))

    message = stored(rt, message_id)
    assert (message.status, message.sender, message.actual_sender) == (Status.SENT, None, "+15005550011")
    assert message_view(message)["from"] == "+15005550011"
    assert message.sender_key == "MG" + "1" * 32  # its limits and opt-outs stay those of the service


def test_parts_that_arrived_are_shown_and_waited_for(rt: Runtime, message_id: UUID) -> None:
    receive(rt, callback(rt, message_id, "sent"), callback(rt, message_id, "partially_delivered"))

    view = message_view(stored(rt, message_id))
    assert (view["status"], view["outcome"], view["error"]) == ("partially_delivered", None, None)
    assert "parts" in view["explanation"]
    assert stored(rt, message_id).due_at is not None


@pytest.mark.parametrize(
    ("raw", "known"),
    [("2611231200", True), ("2611231400", True), ("garbage", False), ("", False), ("9" * 400, False)],
)
def test_the_carriers_time_is_kept_where_it_is_one(
    rt: Runtime, message_id: UUID, clock: FakeClock, raw: str, *, known: bool
) -> None:
    clock.advance(timedelta(seconds=90))

    receive(rt, callback(rt, message_id, "delivered", RawDlrDoneDate=raw))

    noon = clock().replace(minute=0, second=0)
    message, (entry,) = stored(rt, message_id), (e for e in events(rt, message_id) if e.source == "callback")
    assert (message.status, letters(rt)) == (Status.DELIVERED, [])
    assert (message.carrier_at, entry.carrier_at) == ((noon, noon) if known else (None, None))
    assert message_view(message)["latency_s"] == (0.0 if known else 90.0)


# Repeats.


def repeats_kept(rt: Runtime, message_id: UUID) -> list[tuple[str, str | None, int]]:
    return [
        (event.status, event.reason, event.repeats)
        for event in events(rt, message_id)
        if event.source == "callback"
    ]


@pytest.mark.parametrize(("count", "together"), [(200, 200), (200, 7), (20, 1)])
def test_repeats_of_one_callback_are_counted_on_one_row(
    rt: Runtime, message_id: UUID, count: int, together: int
) -> None:
    receive(rt, callback(rt, message_id, "sent"))
    before = stored(rt, message_id).version
    copies = [callback(rt, message_id, "sent") for _ in range(count)]

    for first in range(0, len(copies), together):
        receive(rt, *copies[first : first + together])

    assert repeats_kept(rt, message_id) == [("sent", None, 0), ("sent", "duplicate", count - 1)]
    assert stored(rt, message_id).version == before + 1


def test_the_token_of_each_request_makes_no_other_callback(rt: Runtime, message_id: UUID) -> None:
    made = [callback(rt, message_id, "sent")._replace(idempotency_token=f"token-{n}") for n in range(5)]

    receive(rt, *made)

    assert repeats_kept(rt, message_id) == [("sent", None, 0), ("sent", "duplicate", 3)]


def test_a_copy_that_says_more_is_kept(rt: Runtime, message_id: UUID) -> None:
    receive(rt, *(callback(rt, message_id, "undelivered") for _ in range(3)))

    receive(rt, *(callback(rt, message_id, "undelivered", ErrorCode="30003") for _ in range(3)))
    receive(rt, *(callback(rt, message_id, "undelivered", Price="-0.01") for _ in range(3)))

    assert stored(rt, message_id).error_code == 30003
    assert repeats_kept(rt, message_id) == [
        ("undelivered", None, 0),
        ("undelivered", "duplicate", 1),
        ("undelivered", "duplicate", 2),  # the first of them brought the code
        ("undelivered", "duplicate", 2),
    ]


def test_repeats_of_several_messages_and_statuses_count_apart(rt: Runtime, accept: Accept) -> None:
    ids = [accept(), accept()]
    send_messages(rt)
    words = ["sent", "delivered", "sent", "delivered", "sent", "sent", "delivered"]

    receive(rt, *(callback(rt, each, word) for word in words for each in ids))
    receive(rt, *(callback(rt, each, "sent") for each in ids))

    for each in ids:
        assert repeats_kept(rt, each) == [
            ("sent", None, 0),
            ("delivered", None, 0),
            ("sent", "duplicate", 3),
            ("delivered", "duplicate", 1),
        ]
