"""Scheduling and canceling over HTTP."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import update

from smsapp.config import Settings
from smsapp.messages.models import Message
from smsapp.messages.status import Status
from tests.support.web import TO, Api, faults, problem, serving

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def in_an_hour() -> str:
    return (datetime.now(UTC) + timedelta(hours=1)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def test_a_message_for_later_says_when(api: Api) -> None:
    send_at = in_an_hour()

    answer = api.send(send_at=send_at)

    assert (answer["status"], answer["send_at"], answer["next_attempt_at"]) == ("pending", send_at, send_at)
    assert api.get(f"/sms/messages/{answer['id']}").json == answer


def test_a_message_is_canceled_and_stays_so(api: Api) -> None:
    message_id = api.send(send_at=in_an_hour())["id"]

    answers = [api.post(path=f"/sms/messages/{message_id}/cancel") for _ in range(2)]

    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].json == answers[1].json == api.get(f"/sms/messages/{message_id}").json
    assert (answers[0].json["status"], answers[0].json["outcome"]) == ("canceled", "canceled")
    assert answers[0].json["explanation"] == "The message was canceled before it was sent."


@pytest.mark.parametrize("status", [Status.SUBMITTING, Status.UNCONFIRMED, Status.SENT, Status.DELIVERED])
@one_database
def test_what_is_on_its_way_or_there_is_not_canceled(api: Api, status: Status) -> None:
    message_id = api.send()["id"]
    with api.rt.sessions.begin() as session:
        session.execute(update(Message).values(status=status))

    response = api.post(path=f"/sms/messages/{message_id}/cancel")

    assert str(status) in problem(response, 409, "too_late_to_cancel").detail


@one_database
def test_while_twilio_does_not_answer_the_caller_asks_again(api: Api) -> None:
    message_id = api.send()["id"]
    with api.rt.sessions.begin() as session:  # no Twilio listens in these tests
        session.execute(update(Message).values(status=Status.QUEUED, twilio_sid="SM" + "1" * 32))

    response = api.post(path=f"/sms/messages/{message_id}/cancel")

    problem(response, 503, "twilio_unavailable")
    assert response.headers["Retry-After"] == "2"


@pytest.mark.parametrize("message_id", ["nothing", "msg_" + "0" * 32])
@one_database
def test_what_is_not_there_is_not_canceled(api: Api, message_id: str) -> None:
    problem(api.post(path=f"/sms/messages/{message_id}/cancel"), 404, "message_not_found")


@one_database
def test_canceling_needs_a_key(api: Api) -> None:
    problem(api.client.post("/sms/messages/x/cancel"), 401, "unauthorized")


@one_database
def test_a_deadline_before_the_time_of_sending_is_refused(api: Api) -> None:
    send_at = in_an_hour()

    response = api.post({"to": TO, "body": "x", "send_at": send_at, "deliver_by": send_at})

    assert faults(response) == {"/deliver_by": "invalid"}


@one_database
def test_a_repeated_request_is_answered_also_when_its_time_has_come(api: Api) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=0.3)
    document = {"to": TO, "body": "x", "send_at": soon.isoformat()}
    first = api.post(document, headers={"Idempotency-Key": "k"})
    while datetime.now(UTC) < soon:
        pass

    again = api.post(document, headers={"Idempotency-Key": "k"})
    other = api.post(document)

    assert (first.status_code, again.status_code, again.json) == (202, 202, first.json)
    assert faults(other) == {"/send_at": "past"}
