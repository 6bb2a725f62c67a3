"""`python -m bench.turns`: the cost of claiming from a backlog, plainly and by turns, on both databases."""

import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any
from uuid import UUID

from alembic import command
from sqlalchemy import insert, select, text
from sqlalchemy.orm import Session, sessionmaker

from dev.servers import PostgresServer
from smsapp.cli.database import alembic_config
from smsapp.db.engine import make_sessions
from smsapp.ids import new_id
from smsapp.keys import queries as api_keys
from smsapp.keys.models import ApiKey
from smsapp.messages.models import Message
from smsapp.pacing import backlog as queues
from smsapp.pacing.fairness import deal
from smsapp.queue.lanes import Lane
from smsapp.submission import queries as claims
from tests.support.environment import make_settings

BACKLOG = 100_000
KEYS = 20
SENDERS = 5
TAKEN = 32
ROUNDS = 40
LEASE = timedelta(seconds=60)


def main() -> int:
    """Measure on both databases."""
    with tempfile.TemporaryDirectory(prefix="turns-") as folder, PostgresServer(Path(folder)) as postgres:
        for url in (f"sqlite:///{folder}/turns.db", postgres.create_database("turns")):
            command.upgrade(alembic_config(make_settings(database_url=url)), "head")
            sessions = make_sessions(url, pool_size=2)
            fill(sessions)
            report(url.partition(":")[0], sessions)
            sessions.kw["bind"].dispose()
    return 0


def fill(sessions: sessionmaker[Session]) -> None:
    """Store a backlog of many keys and senders."""
    now = datetime.now(UTC)
    with sessions.begin() as session:
        for number in range(KEYS):
            api_keys.issue(session, f"key {number}", mode="live", now=now)
        keys = list(session.scalars(select(ApiKey.id)))
        rows = [_row(number, keys, now) for number in range(BACKLOG)]
        session.execute(insert(Message), rows)
    with sessions() as session:
        session.execute(text("ANALYZE"))
        session.commit()


def _row(number: int, keys: list[UUID], now: datetime) -> dict[str, Any]:
    return {
        "id": new_id(),
        "api_key_id": keys[number % KEYS],
        "to": f"+1415555{number % 10_000:04d}",
        "sender": f"+1500555000{number % SENDERS}",
        "body": "hello",
        "encoding": "GSM-7",
        "segments": 1,
        "on_unconfirmed": "hold",
        "status": "pending",
        "lane": Lane.NORMAL,
        "attempt": 1,
        "resends_left": 0,
        "version": 1,
        "reported": 0,
        "due_at": now - timedelta(seconds=BACKLOG - number),
        "created_at": now,
        "updated_at": now,
    }


def report(name: str, sessions: sessionmaker[Session]) -> None:
    """Print the median cost of each statement in milliseconds."""
    now = datetime.now(UTC)

    def look(session: Session) -> None:
        queues.waiting(session, Lane.NORMAL, now=now)

    def plain(session: Session) -> None:
        assert len(claims.claim_due(session, now=now, lease=LEASE, limit=TAKEN)) == TAKEN

    def in_turn(session: Session) -> None:
        found, _ = queues.waiting(session, Lane.NORMAL, now=now)
        shares = deal([each.queue for each in found], TAKEN, {})
        assert len(claims.claim_shares(session, shares, lane=Lane.NORMAL, now=now, lease=LEASE)) == TAKEN

    print(f"{name}: a backlog of {BACKLOG} messages, {KEYS} keys by {SENDERS} senders; median of {ROUNDS}")
    for title, work in (
        ("look who waits", look),
        (f"claim {TAKEN} oldest", plain),
        (f"claim {TAKEN} in turn", in_turn),
    ):
        print(f"  {title:24}{timed(sessions, work):8.2f} ms")


def timed(sessions: sessionmaker[Session], work: Callable[[Session], None]) -> float:
    """Return the median time of a transaction that does the work."""
    spans = []
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with sessions.begin() as session:
            work(session)
        spans.append(time.perf_counter() - began)
    return median(spans) * 1000


if __name__ == "__main__":
    sys.exit(main())
