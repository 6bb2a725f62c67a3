"""Look at the database for all waiting requests of a process, when news may have been lost."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import Table, and_, select
from sqlalchemy.orm import Session, sessionmaker

from smsapp.db import bulk_writes as bulk
from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.events.models import OutboxHead
from smsapp.messages.models import Message
from smsapp.news.desk import Seen
from smsapp.runtime import Runtime

_HEAD: Table = OutboxHead.__table__  # type: ignore[assignment]
_MESSAGES: Table = Message.__table__  # type: ignore[assignment]


def look_for_news(sessions: sessionmaker[Session], ids: Collection[UUID]) -> Seen:
    """Return how far the feed reaches and which of these messages have an outcome; one query."""
    with reading(sessions) as session:
        ended = and_(bulk.among(session, _MESSAGES.c.id, list(ids)), _MESSAGES.c.outcome.is_not(None))
        query = select(_HEAD.c.seq, _MESSAGES.c.id).select_from(_HEAD.outerjoin(_MESSAGES, ended))
        rows = session.execute(query).all()
    return Seen(rows[0].seq, [row.id for row in rows if row.id is not None])


def publish_position(rt: Runtime) -> int:
    """Publish how far the feed reaches: processes that have heard of less look for themselves."""
    with reading(rt.sessions) as session:
        position = feed.latest(session)
    rt.news.publish_position(position)
    return 0
