"""One transaction for an effect and its answer: who repeats a request gets the answer, and nothing happens again."""

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db.idempotency import (
    Answered,
    IdempotencyKeyReusedError,
    IdempotentRequest,
    answer_once,
    find_answer,
    forget,
    identify,
)
from smsapp.db.models import IdempotencyKey
from smsapp.keys.models import DEFAULT_APPLICATION, ApiKey
from smsapp.templates import queries as templates
from smsapp.templates.models import Template

NOW = datetime(2026, 11, 20, tzinfo=UTC)
CALLERS = 8

Act = Callable[[Session], dict[str, Any]]


@pytest.fixture
def key_id(api_key: str, sessions: sessionmaker[Session]) -> UUID:
    with sessions() as session:
        return session.scalars(select(ApiKey.id)).one()


def request(key_id: UUID, content: bytes = b"hello", secrets: Sequence[str] = ("s",)) -> IdempotentRequest:
    found = identify(key_id, "k", "/sms/things", content, secrets=secrets)
    assert found
    return found


def adding(name: str) -> Act:
    """Return what stores a template and answers with its name."""

    def act(session: Session) -> dict[str, Any]:
        templates.add(session, DEFAULT_APPLICATION, name, "hello", now=NOW)
        return {"name": name}

    return act


def names(sessions: sessionmaker[Session]) -> list[str]:
    with sessions() as session:
        return list(session.scalars(select(Template.name)))


def test_a_repetition_gets_the_first_answer_and_does_nothing(
    sessions: sessionmaker[Session], key_id: UUID
) -> None:
    first = answer_once(sessions, request(key_id), adding("first"), now=NOW)
    second = answer_once(sessions, request(key_id), adding("second"), now=NOW)

    assert first == Answered({"name": "first"}, replayed=False)
    assert second == Answered({"name": "first"}, replayed=True)
    assert names(sessions) == ["first"]


def test_another_request_with_the_key_is_refused_and_does_nothing(
    sessions: sessionmaker[Session], key_id: UUID
) -> None:
    answer_once(sessions, request(key_id), adding("first"), now=NOW)

    with pytest.raises(IdempotencyKeyReusedError):
        answer_once(sessions, request(key_id, b"other"), adding("second"), now=NOW)

    assert names(sessions) == ["first"]


def test_what_fails_leaves_the_key_free(sessions: sessionmaker[Session], key_id: UUID) -> None:
    def broken(session: Session) -> dict[str, Any]:
        adding("first")(session)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        answer_once(sessions, request(key_id), broken, now=NOW)

    assert find_answer(sessions, request(key_id)) is None
    assert answer_once(sessions, request(key_id), adding("second"), now=NOW).replayed is False
    assert names(sessions) == ["second"]


def test_without_a_key_each_request_is_carried_out(sessions: sessionmaker[Session]) -> None:
    for name in ("first", "second"):
        assert answer_once(sessions, None, adding(name), now=NOW) == Answered({"name": name}, replayed=False)

    assert find_answer(sessions, None) is None


def test_of_those_who_ask_at_once_one_acts_and_the_others_get_its_answer(
    sessions: sessionmaker[Session], key_id: UUID
) -> None:
    barrier = threading.Barrier(CALLERS)

    def ask(number: int) -> Answered:
        barrier.wait()
        return answer_once(sessions, request(key_id), adding(f"from-{number}"), now=NOW)

    with ThreadPoolExecutor(CALLERS) as threads:
        answers = list(threads.map(ask, range(CALLERS)))

    assert sorted(answer.replayed for answer in answers) == [False] + [True] * (CALLERS - 1)
    assert [{"name": name} for name in names(sessions)] == [answers[0].answer]
    assert len({answer.answer["name"] for answer in answers}) == 1


def test_an_answer_that_was_removed_lets_the_key_be_used_again(
    sessions: sessionmaker[Session], key_id: UUID
) -> None:
    answer_once(sessions, request(key_id), adding("first"), now=NOW)
    with sessions.begin() as session:
        assert forget(session, before=datetime(2026, 11, 21, tzinfo=UTC)) == 1

    assert answer_once(sessions, request(key_id, b"other"), adding("second"), now=NOW).replayed is False


def test_a_digest_cannot_be_made_without_the_secret_and_outlives_its_rotation(
    sessions: sessionmaker[Session], key_id: UUID
) -> None:
    answer_once(sessions, request(key_id, secrets=["old"]), adding("first"), now=NOW)

    with sessions() as session:
        digest = session.scalars(select(IdempotencyKey.request_sha256)).one()
    assert digest != hashlib.sha256(b"/sms/things\nhello").hexdigest()
    assert find_answer(sessions, request(key_id, secrets=["new", "old"])) == Answered({"name": "first"}, True)
    with pytest.raises(IdempotencyKeyReusedError):
        find_answer(sessions, request(key_id, secrets=["new"]))


def test_a_digest_of_the_previous_version_is_still_recognized(
    sessions: sessionmaker[Session], key_id: UUID
) -> None:
    answer_once(sessions, request(key_id), adding("first"), now=NOW)
    plain = hashlib.sha256(b"/sms/things\nhello").hexdigest()
    with sessions.begin() as session:
        session.execute(update(IdempotencyKey).values(request_sha256=plain))

    assert find_answer(sessions, request(key_id)) == Answered({"name": "first"}, replayed=True)
    with pytest.raises(IdempotencyKeyReusedError):
        find_answer(sessions, request(key_id, b"other"))
