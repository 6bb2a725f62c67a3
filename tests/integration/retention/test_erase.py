"""A person or a message is erased from every table, under every spelling, and at Twilio."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode
from uuid import UUID

import orjson
import pytest
from click.testing import CliRunner, Result
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from smsapp.bulk.feed import feed_jobs
from smsapp.bulk.models import BulkJob
from smsapp.callbacks import dead_letters
from smsapp.cli.main import main
from smsapp.config import Settings
from smsapp.db import idempotency
from smsapp.db.base import Base
from smsapp.ids import new_id
from smsapp.keys.models import ApiKey
from smsapp.messages.models import Message
from smsapp.queue.lanes import Lane
from smsapp.reconciliation.check_ledger import check_ledger
from smsapp.retention.erase import erase_person, erase_requested
from smsapp.retention.export import export_person
from smsapp.retention.person_queries import Phone
from smsapp.retention.redact import redact_messages
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.suppressions.decide import add_suppression
from smsapp.suppressions.rules import EVERY_SENDER
from tests.support.callbacks import callback, raw_callback, receive
from tests.support.environment import SENDER
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.jobs import make_job
from tests.support.messages import Accept, stored
from tests.support.web import Api, problem, serving

NUMBER = "+5215512345678"
"""A Mexican number as it was written until 2019."""

SPELLINGS = ("525512345678", "5215512345678")
OTHER = "+14155552671"
TEXT = "Your code is 918273"
HOUR = timedelta(hours=1)

pytestmark = pytest.mark.usefixtures("nothing_is_lost")


@pytest.fixture(autouse=True)
def _today(clock: FakeClock) -> None:
    """Let the clock begin where ids do: they carry the real time."""
    clock.now = datetime.now(UTC)


@pytest.fixture
def key_id(sessions: sessionmaker[Session], api_key: str) -> UUID:
    """The id of the API key."""
    with sessions() as session:
        return session.scalars(select(ApiKey.id)).one()


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    """The service over HTTP."""
    with serving(settings, api_key) as api:
        yield api


def everything(rt: Runtime, *, but: str = "") -> str:
    """Return every row of every table, and what Redis holds."""
    redis = Redis.from_url(rt.settings.redis_url, protocol=2)
    with rt.sessions() as session:
        rows = [
            str(tuple(row))
            for table in Base.metadata.sorted_tables
            if table.name != but
            for row in session.execute(select(table))
        ]
    return "\n".join([*rows, *(repr(redis.dump(key)) for key in redis.scan_iter())])


def found(rt: Runtime, *words: str, but: str = "") -> list[str]:
    """Return which of the words are stored anywhere."""
    stored_now = everything(rt, but=but)
    return [word for word in words if word in stored_now]


def deliver(rt: Runtime, twilio: FakeTwilio, message_id: UUID, to: str) -> None:
    """Let Twilio say that a message was delivered, as it says it: with the number, and here with the text, too."""
    sid = stored(rt, message_id).twilio_sid
    assert sid
    twilio.records[sid] = replace(twilio.records[sid], status="delivered")
    receive(rt, callback(rt, message_id, "delivered", To=to, From=SENDER, Body=TEXT))


def test_after_an_erasure_no_table_and_no_key_has_the_number_in_any_spelling_or_the_text(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, key_id: UUID
) -> None:
    message_id = accept(to=NUMBER, body=TEXT, client_reference=f"for {SPELLINGS[0]}", tags=[NUMBER])
    on_whatsapp = accept(to=f"whatsapp:{NUMBER}", sender="whatsapp:+15005550006", body=TEXT)
    job = make_job(
        rt,
        key_id,
        [{"to": NUMBER, "client_reference": SPELLINGS[0]}, {"to": f"{NUMBER} (mother)"}],
        body=TEXT,
    )
    feed_jobs(rt, idle_s=0.05, look_every_s=0.01)
    send_messages(rt)
    send_messages(rt, lane=Lane.BULK)
    deliver(rt, twilio, message_id, NUMBER)
    deliver(rt, twilio, on_whatsapp, f"whatsapp:{NUMBER}")
    said = {
        "MessageSid": "SM" + "1" * 32,
        "From": NUMBER,
        "To": SENDER,
        "Body": f"STOP {TEXT}",
        "WaId": NUMBER[1:],
    }
    receive(rt, raw_callback(rt, None, urlencode(said), kind="inbound"))
    unknown = {"MessageSid": "SM" + "2" * 32, "MessageStatus": "sent", "To": NUMBER}
    receive(rt, raw_callback(rt, None, urlencode(unknown)))
    with rt.transaction() as tx:
        letter = {"body": urlencode({"To": NUMBER, "Body": TEXT})}
        dead_letters.add(tx.session, id=new_id(), kind="callback", payload=letter, cause="?", now=clock())
        request = idempotency.identify(key_id, "key-1", "/sms/send", b"x", secrets=["s"])
        assert request
        idempotency.remember(
            tx.session, [(request, {"id": "msg_1", "to": NUMBER, "body": TEXT})], now=clock()
        )
    other = accept(to=OTHER, body="hello")
    assert found(rt, *SPELLINGS, TEXT) == [*SPELLINGS, TEXT]

    report = erase_person(rt, Phone("+52 55 1234 5678"))
    for row in _messages_of(rt, job):
        deliver(rt, twilio, row, NUMBER)
    clock.advance(HOUR)
    erase_requested(rt)
    redact_messages(rt)

    assert (report.messages, report.inbound, report.callbacks) == (2, 1, 2)
    assert found(rt, *SPELLINGS, but="jobs") == []
    assert found(rt, TEXT, but="jobs") == []
    assert [record.body for record in twilio.records.values() if record.to != OTHER] == ["", "", ""]
    assert stored(rt, other).to == OTHER
    assert check_ledger(rt).by_outcome == {"delivered": 3, "in_flight": 1}


def _messages_of(rt: Runtime, job_id: UUID) -> list[UUID]:
    with rt.sessions() as session:
        return list(session.scalars(select(Message.id).where(Message.job_id == job_id)))


def test_a_suppression_stays_with_its_number_and_without_its_note(rt: Runtime) -> None:
    add_suppression(rt, OTHER, EVERY_SENDER, note="wrote from anna@example.com")

    report = erase_person(rt, Phone(OTHER))

    assert report.suppressions == 1
    assert found(rt, "anna@example.com") == []
    assert found(rt, OTHER[1:]) == [OTHER[1:]]
    assert found(rt, OTHER[1:], but="suppressions") == []


def test_what_waits_for_the_person_is_canceled(
    rt: Runtime, twilio: FakeTwilio, accept: Accept, key_id: UUID
) -> None:
    message_id = accept(to=OTHER)
    job_id = make_job(rt, key_id, [{"to": OTHER}, {"to": "+14155552672"}], start=False)

    erase_person(rt, Phone(OTHER))
    send_messages(rt)

    with rt.sessions() as session:
        job = session.get_one(BulkJob, job_id)
    assert (stored(rt, message_id).status, job.waiting, job.canceled) == ("canceled", 1, 1)
    assert twilio.records == {}
    assert found(rt, OTHER[1:]) == []


def test_a_message_in_flight_is_erased_once_it_has_its_outcome(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    message_id = accept(to=OTHER, body=TEXT)
    send_messages(rt)

    report = erase_person(rt, Phone(OTHER))
    early = erase_requested(rt)
    deliver(rt, twilio, message_id, OTHER)

    assert (report.messages, report.later, early, erase_requested(rt)) == (0, 1, 0, 1)
    assert found(rt, OTHER[1:], TEXT) == []


def test_an_erasure_at_twilio_is_repeated_until_it_is_done(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(to=OTHER, body=TEXT)
    send_messages(rt)
    deliver(rt, twilio, message_id, OTHER)
    sid = stored(rt, message_id).twilio_sid or ""
    twilio.records[sid] = replace(twilio.records[sid], status="sending")  # Twilio does not let go of it yet

    erase_person(rt, Phone(OTHER))
    refused = redact_messages(rt)
    twilio.records[sid] = replace(twilio.records[sid], status="delivered")
    clock.advance(HOUR)

    assert (refused, redact_messages(rt)) == (0, 1)
    assert (twilio.records[sid].body, stored(rt, message_id).redacted_at) == ("", clock())


def test_an_export_has_everything_and_an_erased_person_has_nothing(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    message_id = accept(to=OTHER, body=TEXT)
    send_messages(rt)
    deliver(rt, twilio, message_id, OTHER)
    said = {"MessageSid": "SM" + "1" * 32, "From": OTHER, "To": SENDER, "Body": "thank you"}
    receive(rt, raw_callback(rt, None, urlencode(said), kind="inbound"))

    before = export_person(rt, Phone(OTHER))
    erase_person(rt, Phone(OTHER))
    after = export_person(rt, Phone(OTHER))

    assert [(each["body"], len(each["events"])) for each in before["messages"]] == [(TEXT, 4)]
    assert [each["body"] for each in before["inbound"]] == ["thank you"]
    assert (after["messages"], after["inbound"], after["job_rows"]) == ([], [], [])


def _run(rt: Runtime, monkeypatch: pytest.MonkeyPatch, *arguments: str) -> Result:
    monkeypatch.setattr("smsapp.cli.operate.command_runtime", lambda: rt)
    return CliRunner().invoke(main, arguments)


def test_the_commands_take_a_number_as_people_write_it(
    rt: Runtime, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    accept(to=OTHER, body=TEXT)

    exported = _run(rt, monkeypatch, "person", "export", "+1 (415) 555-2671")
    erased = _run(rt, monkeypatch, "erase", "--yes", "+1 (415) 555-2671")
    wrong = _run(rt, monkeypatch, "erase", "--yes", "12")

    assert orjson.loads(exported.output)["messages"][0]["body"] == TEXT
    assert (erased.exit_code, "1 messages, 0 inbound texts, 0 rows" in erased.output) == (0, True)
    assert wrong.exit_code == 2
    assert found(rt, OTHER[1:], TEXT) == []


def test_a_message_is_erased_over_http_and_its_status_stays(api: Api) -> None:
    message_id = api.send(to=OTHER, body=TEXT, client_reference="order-4711")["id"]
    address = f"/sms/messages/{message_id}"
    in_flight = api.delete(address)
    api.post(path=f"{address}/cancel")

    answers = [api.delete(address) for _ in range(2)]

    problem(in_flight, 409, "message_in_flight")
    assert [answer.status_code for answer in answers] == [204, 204]
    shown = api.get(address).json
    assert (shown["to"], shown["body"], shown["status"]) == ("", None, "canceled")
    assert found(api.rt, OTHER[1:], TEXT, "order-4711") == []
    problem(api.delete("/sms/messages/msg_01890a5d96a07c4b9f3e2d1c0b0a0908"), 404, "message_not_found")
