"""Process dead letters again, once their cause is fixed."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import structlog

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.callbacks import dead_letters
from smsapp.callbacks.models import DeadLetter
from smsapp.callbacks.track import store_callbacks
from smsapp.db.sessions import reading
from smsapp.runtime import Runtime
from smsapp.twilio.callback import Callback

log = structlog.get_logger(__name__)


def replay_dead_letters(
    rt: Runtime, letter_ids: Sequence[UUID] = (), *, batch: int = 1000
) -> tuple[int, int]:
    """Process these dead letters again, or all when none is named; return how many succeeded and failed.

    Each runs in its own transaction, which also marks it as replayed. One that was processed in the meantime is
    recognised by its receipt id and changes nothing.
    """
    replayed = failed = 0
    last = None
    while waiting := _next(rt, letter_ids, last, batch):
        for letter in waiting:
            done = _replay(rt, letter)
            replayed += done
            failed += not done
        last = waiting[-1].id
    return replayed, failed


def _next(rt: Runtime, letter_ids: Sequence[UUID], after: UUID | None, limit: int) -> Sequence[DeadLetter]:
    with reading(rt.sessions) as session:
        return dead_letters.waiting(session, limit=limit, only=letter_ids, after=after)


def _replay(rt: Runtime, letter: DeadLetter) -> bool:
    try:
        with rt.transaction() as tx:
            store_callbacks(rt, tx, [_callback(letter.payload)])
            dead_letters.mark_replayed(tx.session, letter.id, now=rt.clock())
            audit.record(tx.session, Act.DEAD_LETTER_REPLAYED, str(letter.id), now=rt.clock())
    except Exception as error:  # noqa: BLE001 - one letter's failure must not block the others
        log.warning("dead_letter_still_dead", id=str(letter.id), error=type(error).__name__)
        return False
    return True


def _callback(payload: dict[str, Any]) -> Callback:
    """Return the callback that a letter holds.

    Raises:
        KeyError, ValueError: it became a dead letter because it could not be parsed, and still cannot.
    """
    return Callback(
        receipt_id=UUID(hex=payload["receipt_id"]),
        kind=payload["kind"],
        target=payload["target"],
        body=payload["body"],
        idempotency_token=payload["idempotency_token"],
        received_at=datetime.fromisoformat(payload["received_at"]),
    )
