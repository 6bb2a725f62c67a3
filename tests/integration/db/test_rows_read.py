"""Rows that a batch reads: as many as it works on, however many others are stored and whatever the planner believes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode

import pytest
from sqlalchemy import Connection, event, insert, select, text
from sqlalchemy.orm import Session, sessionmaker

from smsapp.callbacks.track import persist_entries
from smsapp.ids import new_id, public_id
from smsapp.messages.models import Message
from smsapp.ports import StreamEntry
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.submission.outbound import Outbound
from smsapp.submission.record import record_submissions
from smsapp.twilio.callback import Callback
from tests.support.fakes import FakeTwilio
from tests.support.messages import Accept

pytestmark = pytest.mark.parametrize("database_url", ["postgres"], indirect=True)

OTHERS = 3000
SIZE = 10
PREPARED = 12
"""Executions after which the driver has prepared a statement and PostgreSQL may plan it for any parameters."""


@pytest.fixture
def crowded(rt: Runtime, accept: Accept, sessions: sessionmaker[Session]) -> None:
    """Store many messages that wait, which the planner has not heard of: its statistics are of an empty table."""
    with sessions.begin() as session:
        session.execute(text("ANALYZE messages"))
    template = accept()
    names = [column.name for column in Message.__table__.columns if not column.computed]
    with sessions.begin() as session:
        row = session.execute(select(Message).where(Message.id == template)).scalar_one()
        values = {name: getattr(row, name) for name in names}
        session.execute(insert(Message), [values | {"id": new_id()} for _ in range(OTHERS)])


@contextmanager
def rows_read(sessions: sessionmaker[Session]) -> Iterator[list[int]]:
    """Collect how many messages each transaction read."""
    read: list[int] = []
    query = text(
        "SELECT seq_tup_read + idx_tup_fetch FROM pg_stat_xact_user_tables WHERE relname = 'messages'"
    )

    def begin(_session: Session, _transaction: object, connection: Connection) -> None:
        read.append(
            -connection.execute(query).scalar_one()
        )  # what other transactions read is counted on for a while

    def end(session: Session) -> None:
        read[-1] += session.connection().execute(query).scalar_one()

    event.listen(sessions, "after_begin", begin)
    event.listen(sessions, "before_commit", end)
    try:
        yield read
    finally:
        event.remove(sessions, "after_begin", begin)
        event.remove(sessions, "before_commit", end)


def claim(rt: Runtime) -> Sequence[Outbound]:
    with rt.sessions.begin() as session:
        return claims.claim_due(session, now=rt.clock(), lease=rt.settings.send_lease, limit=SIZE)


def reads_only_its_own(rt: Runtime, work: Callable[[], Any]) -> None:
    with rows_read(rt.sessions) as read:
        for _ in range(PREPARED):
            work()

    assert len(read) >= PREPARED
    assert 0 < max(read) <= 5 * SIZE, read


@pytest.mark.usefixtures("crowded")
def test_a_claim(rt: Runtime) -> None:
    reads_only_its_own(rt, lambda: claim(rt))


@pytest.mark.usefixtures("crowded")
def test_answers(rt: Runtime, twilio: FakeTwilio) -> None:
    claimed = iter([claim(rt) for _ in range(PREPARED)])

    reads_only_its_own(
        rt,
        lambda: record_submissions(rt, [(message, twilio.submit(message)) for message in next(claimed)]),
    )


@pytest.mark.usefixtures("crowded")
def test_callbacks(rt: Runtime) -> None:
    def entry(message: Outbound) -> StreamEntry:
        form = urlencode({"MessageSid": f"SM{message.id.hex}", "MessageStatus": "sent"})
        return StreamEntry(
            "0-1", Callback(new_id(), "status", public_id(message.id), form, None, rt.clock()), ""
        )

    claimed = iter([claim(rt) for _ in range(PREPARED)])

    reads_only_its_own(rt, lambda: persist_entries(rt, [entry(message) for message in next(claimed)]))
