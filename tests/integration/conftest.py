"""A runtime over a real database and a real Redis, with a Twilio and a clock that do as they are told."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from redis import Redis
from sqlalchemy import select
from sqlalchemy.orm import Session, sessionmaker

from smsapp.callbacks.stream import CallbackStream
from smsapp.config import Settings
from smsapp.content.rules import compose
from smsapp.events.outbox import DatabaseOutbox
from smsapp.ids import parse_public_id
from smsapp.keys import queries as api_keys
from smsapp.keys.models import ApiKey
from smsapp.messages.documents import message_view
from smsapp.pacing.pacer import RedisPacer
from smsapp.recipients.phone import parse_recipient
from smsapp.reconciliation.check_ledger import check_histories, check_ledger
from smsapp.runtime import Runtime
from smsapp.sending.accept import Draft, accept_message
from smsapp.webhooks.client import WebhookPoster
from smsapp.webhooks.subscription_queries import anyone_listens
from tests.support.fakes import FakeClock, FakeNews, FakeTaskQueue, FakeTwilio
from tests.support.messages import Accept


@pytest.fixture
def clock() -> FakeClock:
    """A clock that moves when told."""
    return FakeClock()


@pytest.fixture
def twilio(clock: FakeClock) -> FakeTwilio:
    """A Twilio that does as it is told."""
    return FakeTwilio(clock)


@pytest.fixture
def tasks() -> FakeTaskQueue:
    """A queue that only remembers."""
    return FakeTaskQueue()


@pytest.fixture
def rt(
    settings: Settings,
    sessions: sessionmaker[Session],
    tasks: FakeTaskQueue,
    twilio: FakeTwilio,
    clock: FakeClock,
) -> Runtime:
    """The runtime of a worker, whose drains do not wait long for more."""
    redis = Redis.from_url(settings.redis_url, protocol=2)
    return Runtime(
        settings=settings,
        sessions=sessions,
        outbox=DatabaseOutbox(anyone_listens),
        tasks=tasks,
        stream=CallbackStream(redis, consumer="test"),
        gateway=twilio,
        pacer=RedisPacer(redis),
        webhooks=WebhookPoster(settings),
        news=FakeNews(),
        clock=clock,
        rng=lambda: 0.5,
        drain_idle=timedelta(milliseconds=1),
    )


@pytest.fixture
def api_key(sessions: sessionmaker[Session], clock: FakeClock) -> str:
    """The secret of an API key."""
    with sessions.begin() as session:
        return api_keys.issue(session, "test", mode="live", now=clock())


@pytest.fixture
def accept(rt: Runtime, api_key: str, sessions: sessionmaker[Session]) -> Accept:
    """Accept a message as the API would and return its id; keyword arguments replace fields of the draft."""
    with sessions() as session:
        key_id = session.scalars(select(ApiKey.id)).one()

    def accept_one(to: str = "+14155552671", body: str = "hello", **changes: Any) -> UUID:
        fields: dict[str, Any] = {
            "sender": "+15005550006",
            "messaging_service_sid": None,
            "api_key_id": key_id,
        } | changes
        content = compose(body, fields.pop("media_urls", None), fields.pop("options", None))
        draft = Draft(recipient=parse_recipient(to), content=content, **fields)
        accepted = accept_message(rt, draft, render=lambda values: {"id": message_view(values)["id"]})
        message_id = parse_public_id(accepted.answer["id"])
        assert message_id is not None
        return message_id

    return accept_one


@pytest.fixture
def histories_tell_the_state(rt: Runtime) -> Iterator[None]:
    """After the test, each message's state follows from its history."""
    yield
    assert check_histories(rt)[1] == []


@pytest.fixture
def nothing_is_lost(rt: Runtime, histories_tell_the_state: None) -> Iterator[None]:
    """After the test, every message that was accepted is accounted for, too."""
    yield
    assert check_ledger(rt).balanced
