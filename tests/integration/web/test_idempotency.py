"""Idempotency-Key: a request can be repeated, by whomever and however often, and is one message."""

import hashlib
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session, sessionmaker
from werkzeug.test import TestResponse

from smsapp.config import Settings
from smsapp.db.models import IdempotencyKey
from smsapp.keys import queries as api_keys
from smsapp.messages.models import Message
from tests.support.fakes import FakeClock
from tests.support.web import TO, Api, faults, problem, serving

CALLERS = 50


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def post(api: Api, key: str, *, owner: str | None = None, **changes: Any) -> TestResponse:
    return api.post({"to": TO, "body": "hello"} | changes, key=owner, headers={"Idempotency-Key": key})


def count(api: Api) -> int:
    with api.rt.sessions() as session:
        return session.scalar(select(func.count()).select_from(Message)) or 0


def together(api: Api, requests: list[dict[str, Any]]) -> list[TestResponse]:
    """Make all requests at the same moment, each in a thread of its own."""
    barrier = threading.Barrier(len(requests))

    def one(request: dict[str, Any]) -> TestResponse:
        barrier.wait()
        return post(api, **request)

    with ThreadPoolExecutor(len(requests)) as threads:
        return list(threads.map(one, requests))


def test_a_repeated_request_gets_the_first_answer_again(api: Api) -> None:
    first, second = post(api, "k1"), post(api, "k1")

    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json == second.json
    assert first.headers["Location"] == second.headers["Location"]
    assert [r.headers.get("Idempotent-Replayed") for r in (first, second)] == [None, "true"]
    assert count(api) == 1


def test_the_answer_stays_the_first_one_whatever_became_of_the_message(api: Api) -> None:
    first = post(api, "k1")
    with api.rt.sessions.begin() as session:
        session.execute(Message.__table__.update().values(status="failed", outcome="failed"))

    assert post(api, "k1").json == first.json


def test_the_same_key_with_another_body_is_refused(api: Api) -> None:
    post(api, "k1")

    response = post(api, "k1", body="something else")

    found = problem(response, 422, "idempotency_key_reused")
    assert [(fault.pointer, fault.code) for fault in found.errors] == [("Idempotency-Key", "reused")]
    assert count(api) == 1


def test_another_key_is_another_message(api: Api) -> None:
    assert post(api, "k1").json["id"] != post(api, "k2").json["id"]


def test_without_a_key_every_request_is_a_message(api: Api) -> None:
    assert api.send()["id"] != api.send()["id"]


def test_keys_belong_to_their_callers(api: Api, sessions: sessionmaker[Session], clock: FakeClock) -> None:
    with sessions.begin() as session:
        other = api_keys.issue(session, "other", mode="live", now=clock())

    ours, theirs = post(api, "k1"), post(api, "k1", owner=other, body="theirs")

    assert (theirs.status_code, theirs.json["body"]) == (202, "theirs")
    assert ours.json["id"] != theirs.json["id"]


def test_a_refused_request_uses_no_key_up(api: Api) -> None:
    assert post(api, "k1", to="nobody").status_code == 400

    assert post(api, "k1").status_code == 202


def test_fifty_identical_requests_at_once_are_one_message(api: Api) -> None:
    responses = together(api, [{"key": "k1"}] * CALLERS)

    assert {response.status_code for response in responses} == {202}
    assert len({response.json["id"] for response in responses}) == 1
    assert sum("Idempotent-Replayed" not in response.headers for response in responses) == 1
    assert count(api) == 1


def test_of_different_requests_with_one_key_at_once_one_wins(api: Api) -> None:
    responses = together(api, [{"key": "k1", "body": f"text {number}"} for number in range(10)])

    assert sorted(response.status_code for response in responses) == [202] + [422] * 9
    assert count(api) == 1


def test_different_keys_at_once_are_all_served(api: Api) -> None:
    responses = together(api, [{"key": f"k{number % 25}"} for number in range(CALLERS)])

    assert {response.status_code for response in responses} == {202}
    assert count(api) == 25


def test_a_repetition_after_the_deadline_still_gets_the_first_answer(api: Api) -> None:
    deadline = datetime.now(UTC) + timedelta(hours=1)
    first = post(api, "k1", deliver_by=deadline.isoformat())
    object.__setattr__(api.rt, "clock", FakeClock(deadline))  # the runtime is frozen; time is not

    again = post(api, "k1", deliver_by=deadline.isoformat())
    other = post(api, "k2", deliver_by=deadline.isoformat())

    assert (again.status_code, again.json) == (202, first.json)
    assert faults(other) == {"/deliver_by": "past"}


@pytest.mark.parametrize("key", ["x" * 255, "with spaces, and = signs"])
def test_any_printable_text_is_a_key(api: Api, key: str) -> None:
    assert post(api, key).json == post(api, key).json


@pytest.mark.parametrize(
    ("key", "code"), [("", "too_short"), ("x" * 256, "too_long"), ("schlüssel", "invalid")]
)
@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_strange_key_is_refused(api: Api, key: str, code: str) -> None:
    assert faults(post(api, key)) == {"Idempotency-Key": code}


@pytest.mark.parametrize(
    "again",
    [
        '{"body": "hello", "to": "+14155552671"}',
        '{\n  "to": "+1 (415) 555-2671",\n  "body": "hell\\u006f"\n}',
        '{"to": "+14155552671", "body": "hello", "priority": "normal", "tags": null, "sensitive": false}',
    ],
)
def test_what_means_the_same_is_the_same_request(api: Api, again: str) -> None:
    first = post(api, "k1")

    response = api.post(data=again, headers={"Idempotency-Key": "k1"})

    assert response.status_code == 202, response.text
    assert (response.json, response.headers["Idempotent-Replayed"]) == (first.json, "true")
    assert count(api) == 1


def test_the_order_of_variables_makes_no_difference_but_a_value_does(api: Api) -> None:
    def send(variables: dict[str, str]) -> TestResponse:
        content = {"content_sid": "HX" + "1" * 32, "content_variables": variables}
        document = json.dumps({"to": TO} | content)  # Flask's client would sort the members
        return api.post(data=document, headers={"Idempotency-Key": "k1"})

    first, same, other = send({"1": "a", "2": "b"}), send({"2": "b", "1": "a"}), send({"1": "a", "2": "c"})

    assert same.json == first.json
    assert "what they mean" in problem(other, 422, "idempotency_key_reused").detail


def test_a_request_that_an_earlier_version_answered_is_still_known(api: Api) -> None:
    raw = b'{"to": "+14155552671",  "body": "hello"}'
    first = api.post(data=raw, headers={"Idempotency-Key": "k1"})
    former = hashlib.sha256(b"/sms/send\n" + raw).hexdigest()  # it compared the bytes
    with api.rt.sessions.begin() as session:
        session.execute(update(IdempotencyKey).values(request_sha256=former))

    again = api.post(data=raw, headers={"Idempotency-Key": "k1"})

    assert (again.status_code, again.json) == (202, first.json)
    assert post(api, "k1", body="something else").status_code == 422
