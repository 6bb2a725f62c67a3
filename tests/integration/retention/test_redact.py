"""Sensitive texts: gone here once they are handed over, gone at Twilio once it lets them go, and sent only whole."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from alembic import command
from sqlalchemy import select, update

from smsapp.cli.database import alembic_config
from smsapp.config import Settings
from smsapp.db.base import Base
from smsapp.ids import new_id
from smsapp.lifecycle.record_reports import TargetedReport, record_reports
from smsapp.messages.fold import Report, Source
from smsapp.messages.models import Message
from smsapp.messages.status import Status
from smsapp.reconciliation.settle import Decision, decide_unconfirmed
from smsapp.retention.redact import redact_messages
from smsapp.runtime import Runtime
from smsapp.sending.cancel import cancel_message
from smsapp.submission.send import send_messages
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import TwilioUnavailableError
from tests.support.fakes import FakeClock, FakeTwilio, refuse
from tests.support.messages import Accept, claim, stored

SECRET = "Your code is 918273"
HOUR = timedelta(hours=1)


pytestmark = pytest.mark.usefixtures("nothing_is_lost")


def report(rt: Runtime, twilio: FakeTwilio, message_id: UUID, word: str, code: int | None = None) -> None:
    """Let Twilio say this of the present attempt, and be there itself."""
    message = stored(rt, message_id)
    assert message.twilio_sid
    twilio.records[message.twilio_sid] = replace(twilio.records[message.twilio_sid], status=word)
    said = Report(Source.CALLBACK, word, rt.clock(), new_id(), attempt=message.attempt, error_code=code)
    with rt.transaction() as tx:
        record_reports(rt, tx, [TargetedReport(message_id, said)])


def bodies(twilio: FakeTwilio) -> list[str | None]:
    return [record.body for record in twilio.records.values()]


def everything_stored(rt: Runtime) -> str:
    with rt.sessions() as session:
        return "\n".join(
            str(tuple(row)) for table in Base.metadata.sorted_tables for row in session.execute(select(table))
        )


def test_a_text_is_gone_here_once_twilio_has_it_and_there_once_it_is_final(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(body=SECRET, sensitive=True)
    waiting = redact_messages(rt)
    assert stored(rt, message_id).body == SECRET
    send_messages(rt)

    handed_over = redact_messages(rt)
    assert (waiting, handed_over, stored(rt, message_id).body) == (0, 0, "")
    assert SECRET not in everything_stored(rt)
    assert bodies(twilio) == [SECRET]

    report(rt, twilio, message_id, "delivered")
    clock.advance(HOUR)
    delivered = redact_messages(rt)

    message = stored(rt, message_id)
    assert (delivered, bodies(twilio)) == (1, [""])
    assert (message.redact_at, message.redacted_at) == (None, clock())
    assert redact_messages(rt) == 0


def test_an_ordinary_text_stays(rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept) -> None:
    message_id = accept(body="hello")
    send_messages(rt)
    report(rt, twilio, message_id, "delivered")
    clock.advance(HOUR)

    assert redact_messages(rt) == 0
    assert (stored(rt, message_id).body, bodies(twilio)) == ("hello", ["hello"])


def test_a_text_that_may_go_out_again_is_kept_until_it_does_not(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(body=SECRET, sensitive=True, resend_after_failure=True)
    send_messages(rt)
    redact_messages(rt)
    assert stored(rt, message_id).body == SECRET
    report(rt, twilio, message_id, "undelivered", 30003)
    clock.advance(HOUR)
    redact_messages(rt)
    assert stored(rt, message_id).status == Status.PENDING
    assert stored(rt, message_id).body == SECRET

    send_messages(rt)
    report(rt, twilio, message_id, "delivered")
    clock.advance(HOUR)
    redacted = redact_messages(rt)

    assert [sent.body for sent in twilio.sent] == [SECRET, SECRET]
    assert (redacted, stored(rt, message_id).body, bodies(twilio)) == (1, "", ["", ""])  # both copies


@pytest.mark.parametrize("end", ["refused", "canceled"])
def test_a_text_that_never_went_out_is_removed_too(
    rt: Runtime, twilio: FakeTwilio, accept: Accept, end: str
) -> None:
    message_id = accept(body=SECRET, sensitive=True)
    if end == "refused":
        twilio.behaviours = [refuse(21211, 400)]
        send_messages(rt)
    else:
        cancel_message(rt, message_id, request_id=None)

    assert redact_messages(rt) == 1
    assert stored(rt, message_id).body == ""


def test_while_nobody_knows_whether_twilio_has_it_the_text_is_kept(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    """It is what the message is found by in Twilio's records."""
    twilio.behaviours = [twilio.lose]
    message_id = accept(body=SECRET, sensitive=True)
    send_messages(rt)
    clock.advance(HOUR)
    redact_messages(rt)
    assert stored(rt, message_id).body == SECRET

    decide_unconfirmed(rt, message_id, Decision.FAIL)
    redact_messages(rt)

    assert stored(rt, message_id).body == ""
    assert stored(rt, message_id).redacted_at is None  # a callback may still tell that Twilio has it
    clock.advance(timedelta(days=8))
    assert redact_messages(rt) == 1


def test_what_twilio_does_not_let_go_of_yet_is_tried_again(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    ids = [accept(f"+1415555{number}", body=SECRET, sensitive=True) for number in range(2000, 2003)]
    send_messages(rt)
    for message_id in ids:
        report(rt, twilio, message_id, "delivered")
    first = stored(rt, ids[0])
    assert first.twilio_sid
    twilio.records[first.twilio_sid] = replace(twilio.records[first.twilio_sid], status="sending")

    assert redact_messages(rt) == 2
    assert sorted(map(str, bodies(twilio))) == ["", "", SECRET]

    twilio.records[first.twilio_sid] = replace(twilio.records[first.twilio_sid], status="delivered")
    clock.advance(HOUR)
    assert redact_messages(rt) == 1
    assert bodies(twilio) == ["", "", ""]


def test_while_twilio_does_not_answer_it_is_left_alone(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept(body=SECRET, sensitive=True)
    send_messages(rt)
    report(rt, twilio, message_id, "delivered")
    twilio.unavailable = TwilioUnavailableError("TimeoutError")

    assert redact_messages(rt) == 0
    assert stored(rt, message_id).body == ""  # ours needs nobody's leave

    twilio.unavailable = None
    clock.advance(HOUR)
    assert redact_messages(rt) == 1
    assert bodies(twilio) == [""]


def test_what_twilio_has_deleted_is_gone(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept(body=SECRET, sensitive=True)
    send_messages(rt)
    report(rt, twilio, message_id, "delivered")
    twilio.records.clear()

    assert redact_messages(rt) == 1


def test_a_text_that_was_removed_is_never_sent_empty(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    message_id = accept(body=SECRET, sensitive=True)
    with rt.sessions.begin() as session:
        session.execute(update(Message).values(body=""))

    send_messages(rt)

    message = stored(rt, message_id)
    assert (message.status, message.error_code, twilio.sent) == (Status.FAILED, OwnCode.TEXT_REMOVED, [])


def test_many_are_removed_batch_by_batch(rt: Runtime, twilio: FakeTwilio, accept: Accept) -> None:
    ids = [accept(f"+1415555{number}", body=SECRET, sensitive=True) for number in range(2000, 2005)]
    send_messages(rt)
    for message_id in ids:
        report(rt, twilio, message_id, "delivered")

    assert redact_messages(rt, batch=2) == 5
    assert set(bodies(twilio)) == {""}


CONTENT = {"content_sid": "HX" + "1" * 32, "content_variables": {"1": SECRET}}
MEDIA = ["https://example.com/a.png"]


@pytest.mark.parametrize(
    "content",
    [
        {"body": "", "options": CONTENT},
        {"body": SECRET, "options": {"smart_encoded": True}},
        {"body": SECRET, "media_urls": MEDIA},
    ],
)
def test_whatever_it_consists_of_is_gone_and_never_sent_in_part(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, content: dict[str, Any]
) -> None:
    message_id = accept(sensitive=True, **content)
    send_messages(rt)
    assert SECRET in everything_stored(rt)
    redact_messages(rt)

    left = everything_stored(rt)
    with rt.sessions.begin() as session:  # as an operator might make it again
        pending = {"status": "pending", "outcome": None, "due_at": clock(), "attempt": 2, "twilio_sid": None}
        session.execute(update(Message).where(Message.id == message_id).values(**pending))
    claimed = claim(rt)

    assert SECRET not in left
    assert [each.is_removed for each in claimed] == [True]
    assert len(twilio.sent) == 1


def test_media_alone_and_a_template_without_variables_are_sent(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    accept(body="", media_urls=MEDIA, sensitive=True)
    accept(body="", options={"content_sid": CONTENT["content_sid"]})

    send_messages(rt)

    assert [(each.media_urls, each.options) for each in twilio.sent] == [
        (MEDIA, None),
        (None, {"content_sid": CONTENT["content_sid"]}),
    ]


def test_what_an_earlier_version_removed_stays_unsendable(
    settings: Settings, rt: Runtime, clock: FakeClock, accept: Accept
) -> None:
    """It emptied the body alone, which now says nothing beside media."""
    emptied = accept(body=SECRET, media_urls=MEDIA, sensitive=True)
    whole = accept(body=SECRET, media_urls=MEDIA, sensitive=True)
    plain = accept(body=SECRET, sensitive=True)
    command.downgrade(alembic_config(settings), "0017")
    with rt.sessions.begin() as session:
        session.execute(update(Message).where(Message.id.in_([emptied, plain])).values(body=""))

    command.upgrade(alembic_config(settings), "head")

    removed = {each.id: each.is_removed for each in claim(rt)}
    assert removed == {emptied: True, whole: False, plain: True}
