"""Reading messages: one, its history, the list, and waiting for the outcome."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote, urlencode

import pytest
from sqlalchemy import event, update
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import TestResponse

from simulator.signature import sign
from smsapp.breakers import queries as breakers
from smsapp.bulk.feed import feed_jobs
from smsapp.callbacks.track import track_callbacks
from smsapp.config import Settings
from smsapp.ids import new_id, parse_public_id
from smsapp.keys import queries as api_keys
from smsapp.messages import reads, schemas
from smsapp.messages.models import Message
from smsapp.news.desk import NewsDesk
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.times import rfc3339
from smsapp.web.wiring import provided
from tests.support.environment import AUTH_TOKEN, BASE_URL
from tests.support.fakes import FakeClock
from tests.support.web import TO, Api, faults, problem, serving

NOBODY = "msg_" + "0" * 32
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def api(settings: Settings, api_key: str, clock: FakeClock) -> Iterator[Api]:
    clock.now = datetime.now(UTC)
    with serving(settings, api_key) as api:
        yield api


def call_back(api: Api, message_id: str, status: str, **params: str) -> None:
    """Report on a message as Twilio does."""
    path = f"/twilio/status/{message_id}"
    sid = api.stored(message_id).twilio_sid or ""
    form = {"MessageSid": sid, "MessageStatus": status, "To": TO} | params
    signature = sign(AUTH_TOKEN, BASE_URL + path, form.items())
    answer = api.client.post(path, data=form, headers={"X-Twilio-Signature": signature})
    assert answer.status_code == 204


def deliver(api: Api, rt: Runtime, message_id: str) -> None:
    """Let a worker send the message, and Twilio deliver it."""
    rt.clock.advance(timedelta(minutes=1))  # type: ignore[attr-defined]
    send_messages(rt)
    call_back(api, message_id, "delivered")
    track_callbacks(rt)


def ids(response: TestResponse) -> list[str]:
    assert response.status_code == 200, response.text
    return [item["id"] for item in schemas.MessageList.model_validate(response.json).model_dump()["data"]]


def test_a_delivered_message_says_so_and_when(api: Api, rt: Runtime) -> None:
    message_id = api.send()["id"]
    deliver(api, rt, message_id)

    message = schemas.Message.model_validate(api.get(f"/sms/messages/{message_id}").json)

    assert (message.status, message.outcome, message.error, message.attempt) == (
        "delivered",
        "delivered",
        None,
        1,
    )
    assert message.twilio_sid is not None
    assert None not in {message.submitted_at, message.finished_at}


def test_a_failed_message_explains_itself(api: Api, rt: Runtime) -> None:
    message_id = api.send()["id"]
    rt.clock.advance(timedelta(minutes=1))  # type: ignore[attr-defined]
    send_messages(rt)
    call_back(api, message_id, "undelivered", ErrorCode="30005")
    track_callbacks(rt)

    message = schemas.Message.model_validate(api.get(f"/sms/messages/{message_id}").json)

    assert (message.status, message.outcome) == ("undelivered", "undelivered")
    assert message.error is not None
    assert message.error.code == 30005
    assert message.error.sentence
    assert message.error.advice


@pytest.mark.parametrize("path", ["{}", "{}/events"])
@pytest.mark.parametrize(
    "name", [NOBODY, "msg_1", "nonsense", "0" * 32, f"{NOBODY}-2", "ü", "msg_" + "g" * 32]
)
@one_database
def test_an_unknown_message_is_a_problem(api: Api, path: str, name: str) -> None:
    problem(api.get(f"/sms/messages/{path.format(name)}"), 404, "message_not_found")


def test_the_history_has_every_piece_of_evidence_in_order(api: Api, rt: Runtime) -> None:
    message_id = api.send()["id"]
    deliver(api, rt, message_id)
    call_back(api, message_id, "sent")  # late: Twilio promises no order
    track_callbacks(rt)

    response = api.get(f"/sms/messages/{message_id}/events")

    events = schemas.EventList.model_validate(response.json).data
    assert [(event.seq, event.source, event.status, event.applied, event.reason) for event in events] == [
        (1, "request", "pending", True, None),
        (2, "system", "submitting", True, "claimed"),
        (3, "api", "queued", True, None),
        (4, "callback", "delivered", True, None),
        (5, "callback", "sent", False, "late"),
    ]
    assert events[3].payload is not None
    assert TO[1:] not in str(events[3].payload)
    assert "Link" not in response.headers


def test_a_history_is_paged_by_its_numbers(api: Api, rt: Runtime) -> None:
    message_id = api.send()["id"]
    deliver(api, rt, message_id)
    path = f"/sms/messages/{message_id}/events"

    seen = []
    page = api.get(path, limit=3)
    seen.append([event["seq"] for event in page.json["data"]])
    while link := page.headers.get("Link"):
        page = api.get(link.removeprefix("<").removesuffix('>; rel="next"'))
        seen.append([event["seq"] for event in page.json["data"]])

    assert seen == [[1, 2, 3], [4]]
    assert api.get(path, after=4).json == {"data": [], "has_more": False, "next_cursor": None}


def test_the_list_is_newest_first_and_its_links_lead_through_all_of_it(api: Api) -> None:
    sent = [api.send(body=f"text {number}")["id"] for number in range(5)]

    seen = []
    page = api.get("/sms/messages", limit=2, to=TO)
    seen.append(ids(page))
    while link := page.headers.get("Link"):
        assert page.json["has_more"]
        assert quote(page.json["next_cursor"]) in link
        page = api.get(link.removeprefix("<").removesuffix('>; rel="next"'))
        seen.append(ids(page))

    assert seen == [[sent[4], sent[3]], [sent[2], sent[1]], [sent[0]]]
    assert (page.json["has_more"], page.json["next_cursor"]) == (False, None)


def test_a_page_begun_is_not_disturbed_by_what_comes_after(api: Api) -> None:
    sent = [api.send()["id"] for _ in range(3)]
    cursor = api.get("/sms/messages", limit=1).json["next_cursor"]
    api.send()

    assert ids(api.get("/sms/messages", cursor=cursor)) == [sent[1], sent[0]]


def test_the_list_is_filtered_by_each_and_all(api: Api, rt: Runtime) -> None:
    first = api.send(to="+14155552672", client_reference="order-1")["id"]
    deliver(api, rt, first)
    second = api.send(client_reference="order-1")["id"]
    middle = api.stored(second).created_at.isoformat()

    found = {
        query: ids(api.client.get(f"/sms/messages?{query}", headers={"Authorization": f"Bearer {api.key}"}))
        for query in (
            "status=delivered",
            "status=pending",
            "status=a-new-word",
            "client_reference=order-1",
            "client_reference=order-1&to=%2B14155552671",
            "to=+14155552672",
            f"to={quote('+1 (415) 555-2672')}",
            urlencode({"created_from": middle}),
            urlencode({"created_until": middle}),
            "created_from=2999-01-01T00:00:00Z",
        )
    }

    assert list(found.values()) == [
        [first],
        [second],
        [],
        [second, first],
        [second],
        [first],
        [first],
        [second],
        [first],
        [],
    ]


def test_the_messages_of_a_job_come_page_by_page(api: Api, rt: Runtime) -> None:
    rows = [{"to": f"+1415555200{number}"} for number in range(3)]
    jobs = [
        api.post({"body": body, "rows": rows, "start": True}, path="/sms/jobs").json["id"] for body in "ab"
    ]
    feed_jobs(rt)
    api.send()

    first = api.get("/sms/messages", job_id=jobs[0], limit=2)
    second = api.get("/sms/messages", job_id=jobs[0], limit=2, cursor=first.json["next_cursor"])

    found = first.json["data"] + second.json["data"]
    assert [(each["job_id"], each["to"]) for each in found] == [(jobs[0], row["to"]) for row in rows[::-1]]
    assert (len(first.json["data"]), second.json["has_more"]) == (2, False)
    assert ids(api.get("/sms/messages", job_id=jobs[0], to="+14155552001")) == [found[1]["id"]]
    assert ids(api.get("/sms/messages", job_id="job_" + "0" * 32)) == []


def test_an_index_has_the_messages_of_a_job_in_their_order(sessions: sessionmaker[Session]) -> None:
    asked: list[tuple[str, Any]] = []
    with sessions() as session:
        connection = session.connection()
        event.listen(connection, "before_cursor_execute", lambda *said: asked.append(said[2:4]))
        reads.find(session, limit=2, before=new_id(), job_id=new_id())
        ((statement, parameters),) = asked
        plan = "EXPLAIN "
        if connection.dialect.name == "sqlite":
            plan = "EXPLAIN QUERY PLAN "
        else:  # of an empty table it would read all
            connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        told = str(connection.exec_driver_sql(plan + statement, parameters).all())

    assert "ix_messages_job_id_id" in told
    assert "sort" not in told.lower()
    assert "B-TREE" not in told


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("job_id=nonsense", {"?job_id": "invalid"}),
        ("limit=0", {"?limit": "out_of_range"}),
        ("limit=201", {"?limit": "out_of_range"}),
        ("limit=x", {"?limit": "wrong_type"}),
        ("limit=1&limit=2", {"?limit": "repeated"}),
        ("cursor=nonsense", {"?cursor": "invalid"}),
        (f"cursor={'0' * 32}", {"?cursor": "invalid"}),
        ("to=nobody", {"?to": "invalid"}),
        ("status=%00", {"?status": "invalid"}),
        ("status=" + "x" * 33, {"?status": "too_long"}),
        ("client_reference=%00", {"?client_reference": "invalid"}),
        ("created_from=yesterday", {"?created_from": "invalid"}),
        ("created_from=1767225600", {"?created_from": "invalid"}),
        ("created_from=2026-01-01T00:00:00", {"?created_from": "invalid"}),
        ("created_until=9999-12-31T23:59:59-23:00", {"?created_until": "invalid"}),
        (
            "created_from=2026-01-02T00:00:00Z&created_until=2026-01-01T00:00:00Z",
            {"?created_until": "invalid"},
        ),
        ("colour=red", {"?colour": "unknown_field"}),
        (
            "to=x&to=x&limit=0&colour=red",
            {"?to": "invalid", "?limit": "out_of_range", "?colour": "unknown_field"},
        ),
    ],
)
@one_database
def test_a_faulty_filter_is_pointed_at(api: Api, query: str, expected: dict[str, str]) -> None:
    assert faults(api.get(f"/sms/messages?{query}")) == expected


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("{}?wait=21", {"?wait": "out_of_range"}),
        ("{}?wait=-1", {"?wait": "out_of_range"}),
        ("{}?wait=soon", {"?wait": "wrong_type"}),
        ("{}?limit=1", {"?limit": "unknown_field"}),
        ("{}/events?after=-1", {"?after": "out_of_range"}),
        ("{}/events?after=2147483648", {"?after": "out_of_range"}),
        ("{}/events?limit=1001", {"?limit": "out_of_range"}),
    ],
)
@one_database
def test_a_faulty_parameter_is_pointed_at(api: Api, path: str, expected: dict[str, str]) -> None:
    assert faults(api.get(f"/sms/messages/{path.format(NOBODY)}")) == expected


@pytest.mark.parametrize(
    "path", ["/sms/messages", f"/sms/messages/{NOBODY}", f"/sms/messages/{NOBODY}/events"]
)
@one_database
def test_nothing_is_shown_without_a_key(api: Api, path: str) -> None:
    problem(api.client.get(path), 401, "unauthorized")


def test_waiting_ends_as_soon_as_the_outcome_is_known(api: Api, rt: Runtime) -> None:
    message_id = api.send()["id"]
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(api.get, f"/sms/messages/{message_id}", wait=20)
        until_waiting(api)
        began = time.monotonic()
        deliver(api, replace(rt, news=api.rt.news), message_id)

        assert answer.result(30).json["outcome"] == "delivered"
        assert time.monotonic() - began < 10


def until_waiting(api: Api) -> None:
    """Return once a request waits for an outcome."""
    while 'smsapp_open_waits{kind="outcomes"} 1.0' not in api.get("/metrics").text:
        time.sleep(0.01)


def test_waiting_ends_when_the_seconds_are_over(api: Api) -> None:
    message_id = api.send()["id"]
    began = time.monotonic()

    answer = api.get(f"/sms/messages/{message_id}", wait=1)

    assert answer.json["status"] == "pending"
    assert 0.9 < time.monotonic() - began < 10


def test_an_outcome_that_is_known_is_not_waited_for(api: Api, rt: Runtime) -> None:
    message_id = api.send()["id"]
    deliver(api, rt, message_id)
    began = time.monotonic()

    assert api.get(f"/sms/messages/{message_id}", wait=20).json["outcome"] == "delivered"
    assert time.monotonic() - began < 10


def test_nobody_is_waited_for_who_does_not_exist(api: Api) -> None:
    problem(api.get(f"/sms/messages/{NOBODY}", wait=20), 404, "message_not_found")


@one_database
def test_only_so_many_may_wait_and_a_key_for_some_of_them(settings: Settings, api_key: str) -> None:
    limited = settings.model_copy(update={"max_waits": 3, "max_waits_per_key": 2})
    with serving(limited, api_key) as api, ThreadPoolExecutor(3) as threads:
        with api.rt.sessions.begin() as session:
            another, third = (
                api_keys.issue(session, name, mode="live", now=datetime.now(UTC)) for name in ("b", "c")
            )
        message_id = api.send()["id"]
        waiting = [
            threads.submit(Api(api.app, key).get, f"/sms/messages/{message_id}", wait=20)
            for key in (api_key, api_key, another)
        ]
        while 'smsapp_open_waits{kind="outcomes"} 3.0' not in api.get("/metrics").text:
            time.sleep(0.01)

        refused = api.get(f"/sms/messages/{message_id}", wait=20)
        of_third = Api(api.app, third).get(f"/sms/messages/{message_id}", wait=20)
        at_once = api.get(f"/sms/messages/{message_id}")
        provided(NewsDesk, api.app).ending = True

        assert "for outcomes" in problem(refused, 503, "overloaded").detail
        assert refused.headers["Retry-After"] == "5"
        problem(of_third, 503, "overloaded")
        assert at_once.status_code == 200
        assert [answer.result(10).status_code for answer in waiting] == [200] * 3
        # The places are free again.
        assert 'smsapp_open_waits{kind="outcomes"} 0.0' in api.get("/metrics").text


@one_database
def test_a_key_may_not_take_every_place(settings: Settings, api_key: str) -> None:
    limited = settings.model_copy(update={"max_waits": 3, "max_waits_per_key": 1})
    with serving(limited, api_key) as api, ThreadPoolExecutor(1) as threads:
        with api.rt.sessions.begin() as session:
            another = api_keys.issue(session, "b", mode="live", now=datetime.now(UTC))
        message_id = api.send()["id"]
        waiting = threads.submit(api.get, f"/sms/messages/{message_id}", wait=20)
        until_waiting(api)

        problem(api.get(f"/sms/messages/{message_id}", wait=20), 503, "overloaded")
        assert Api(api.app, another).get(f"/sms/messages/{message_id}", wait=1).status_code == 200
        provided(NewsDesk, api.app).ending = True
        assert waiting.result(10).status_code == 200


@pytest.mark.parametrize("scope", ["account", "sender"])
def test_a_message_of_a_parked_scope_says_why_it_waits_and_until_when(
    api: Api, rt: Runtime, scope: str
) -> None:
    untried, tried = api.send()["id"], api.send()["id"]
    later = api.send(send_at=(rt.clock() + timedelta(hours=1)).isoformat())["id"]
    until = rt.clock() + timedelta(seconds=15)
    with rt.sessions.begin() as session:
        name = "account" if scope == "account" else str(api.stored(untried).sender)
        breakers.trip(
            session,
            name,
            parked=True,
            error_code=20003,
            reason="Twilio said no.",
            now=rt.clock(),
            probe_at=until,
        )
        session.execute(
            update(Message).where(Message.id == parse_public_id(tried)).values(error_code=20003, attempt=2)
        )

    shown = {each["id"]: each for each in api.get("/sms/messages").json["data"]}

    sentence = f"The message waits: sending is parked at least until {rfc3339(until)}. Twilio said no."
    assert {shown[each]["explanation"] for each in (untried, tried)} == {sentence}
    assert {shown[each]["next_attempt_at"] for each in (untried, tried)} == {rfc3339(until)}
    assert shown[untried]["error"] == shown[tried]["error"]
    assert (shown[tried]["error"]["code"], shown[tried]["error"]["until"]) == (20003, rfc3339(until))
    assert shown[later]["explanation"] == "The message waits to be handed to Twilio."
    for each in (untried, tried, later):
        alone = api.get(f"/sms/messages/{each}").json
        schemas.Message.model_validate(alone)
        assert alone == shown[each]


def test_nothing_is_looked_up_for_messages_that_do_not_wait(
    api: Api, rt: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = api.send()["id"]
    deliver(api, rt, message_id)
    monkeypatch.delattr(breakers, "parked")

    assert api.get(f"/sms/messages/{message_id}").status_code == 200
