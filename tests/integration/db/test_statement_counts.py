"""Statements per request and per batch: as many for fifty as for two, or something asks row by row.

Batches are counted on PostgreSQL: SQLite is in the process, so there is no round trip to save there.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import pytest
from sqlalchemy import event
from sqlalchemy.orm import Session, sessionmaker

from smsapp.callbacks.track import persist_entries
from smsapp.config import Settings
from smsapp.events.outbox import DatabaseOutbox
from smsapp.ids import new_id, public_id
from smsapp.ports import StreamEntry
from smsapp.runtime import Runtime
from smsapp.sending import accept as accept_module
from smsapp.submission import queries as claims
from smsapp.submission.record import record_submissions
from smsapp.twilio.callback import Callback
from tests.support.fakes import FakeTwilio
from tests.support.messages import Accept
from tests.support.web import TO, serving

SIZES = (2, 50)
on_postgres = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)


@pytest.fixture
def rt(rt: Runtime) -> Runtime:
    """A process that knows that nobody listens: else it looks now and then, whatever the size."""
    return replace(rt, outbox=DatabaseOutbox(lambda _session: False))


@contextmanager
def counted(sessions: sessionmaker[Session]) -> Iterator[list[str]]:
    """Collect the statements that the body makes the database execute."""
    statements: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        statements.append(statement)

    engine = sessions.kw["bind"]
    event.listen(engine, "before_cursor_execute", note)
    try:
        yield statements
    finally:
        event.remove(engine, "before_cursor_execute", note)


def same_for_every_size(sessions: sessionmaker[Session], work: Callable[[int], Callable[[], Any]]) -> None:
    """Do the work for each size, what `work` prepares uncounted; the counts must be the same, and not nothing."""
    seen = {}
    for size in (SIZES[0], *SIZES):  # the first time fills caches
        prepared = work(size)
        with counted(sessions) as statements:
            prepared()
        seen[size] = statements
    few, many = (seen[size] for size in SIZES)
    assert len(few) == len(many) > 0, many


@on_postgres
def test_accepting_together(rt: Runtime, accept: Accept, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered: list[Any] = []

    def prepare(size: int) -> Callable[[], None]:
        gathered.clear()
        with monkeypatch.context() as patch:
            patch.setattr(accept_module, "store_together", lambda _, candidates: gathered.extend(candidates))
            for number in range(size):
                accept(body=f"{size}: {number}")
        return lambda: accept_module.store_together(rt, list(gathered))

    same_for_every_size(rt.sessions, prepare)


@on_postgres
def test_claiming_and_recording(rt: Runtime, accept: Accept, twilio: FakeTwilio) -> None:
    def prepare(size: int) -> Callable[[], None]:
        for number in range(size):
            accept(body=f"{size}: {number}")

        def work() -> None:
            with rt.sessions.begin() as session:
                claimed = claims.claim_due(session, now=rt.clock(), lease=rt.settings.send_lease, limit=size)
            assert len(claimed) == size
            record_submissions(rt, [(message, twilio.submit(message)) for message in claimed])

        return work

    same_for_every_size(rt.sessions, prepare)


@on_postgres
def test_persisting_callbacks(rt: Runtime, accept: Accept) -> None:
    def entry(message_id: UUID, status: str) -> StreamEntry:
        form = {"MessageSid": f"SM{message_id.hex}", "MessageStatus": status, "ErrorCode": "30003"}
        callback = Callback(new_id(), "status", public_id(message_id), urlencode(form), None, rt.clock())
        return StreamEntry("0-1", callback, "")

    def prepare(size: int) -> Callable[[], None]:
        ids = [accept(body=f"{size}: {number}") for number in range(size)]
        entries = [entry(message_id, status) for message_id in ids for status in ("sent", "undelivered")]
        return lambda: persist_entries(rt, entries)

    same_for_every_size(rt.sessions, prepare)


@pytest.mark.parametrize("path", ["/sms/messages", "/sms/events"])
def test_a_page(settings: Settings, api_key: str, accept: Accept, path: str) -> None:
    for number in range(SIZES[1]):
        accept(body=str(number))
    with serving(settings, api_key) as api:
        assert api.get(path).status_code == 200  # the key is known from now on

        def prepare(size: int) -> Callable[[], None]:
            def work() -> None:
                assert len(api.get(path, limit=size).json["data"]) == size

            return work

        same_for_every_size(api.rt.sessions, prepare)


def test_a_request_to_send_is_one_transaction_of_few_statements(settings: Settings, api_key: str) -> None:
    with serving(settings, api_key) as api:
        api.send()
        with counted(api.rt.sessions) as statements:
            api.send(to=TO)

    assert 3 <= len(statements) <= 5, (
        statements
    )  # the message, its history, the outbox and its number, opt-outs
