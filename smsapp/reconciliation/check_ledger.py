"""The ledger: every accepted message is delivered, undelivered, failed, canceled, unconfirmed, or still under way."""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from smsapp.db import counters
from smsapp.db.sessions import reading
from smsapp.ids import public_id
from smsapp.messages import reads
from smsapp.messages.fold import MessageState, Source
from smsapp.messages.models import MessageEvent
from smsapp.messages.refold import PastEvent, refold
from smsapp.reconciliation import ledger_queries as ledger
from smsapp.runtime import Runtime

log = structlog.get_logger(__name__)

_COMPARED = ("status", "outcome", "error_code", "attempt", "twilio_sid")


@dataclass(frozen=True, slots=True)
class LedgerReport:
    """Counts of `accepted` messages by outcome (`in_flight` for none yet), and the ids of stuck messages."""

    accepted: int
    by_outcome: dict[str, int]
    stuck: Sequence[str]

    @property
    def balanced(self) -> bool:
        """Whether every accepted message is accounted for."""
        return not self.stuck and self.accepted == sum(self.by_outcome.values())


@dataclass(frozen=True, slots=True)
class Difference:
    """A message whose row differs from the fold of its events."""

    id: str
    field: str
    stored: str
    refolded: str


def check_ledger(rt: Runtime) -> LedgerReport:
    """Count every message by outcome, and name those that would stay in flight for ever.

    A message is stuck if it has no outcome and nothing will ever process it again, or if its outcome contradicts its
    status. An imbalance is logged as an error, with the ids.
    """
    with reading(rt.sessions) as session:
        accepted, by_outcome = ledger.count(session)
        stuck = [public_id(message_id) for message_id in ledger.stuck(session, now=rt.clock())]
    report = LedgerReport(accepted, by_outcome, stuck)
    with rt.transaction() as tx:
        counters.write_ledger(tx.session, {**by_outcome, "stuck": len(stuck)})
    if not report.balanced:
        log.error("ledger_imbalance", accepted=accepted, by_outcome=by_outcome, message_ids=stuck[:20])
    return report


def check_histories(rt: Runtime, *, batch: int = 500) -> tuple[int, list[Difference]]:
    """Recompute every status from its events; return how many messages were checked, and the differences."""
    checked = 0
    differences: list[Difference] = []
    after: UUID | None = None
    while True:
        with reading(rt.sessions) as session:
            rows = reads.page_by_id(session, after=after, limit=batch)
            histories = reads.histories(session, [row.id for row in rows])
        if not rows:
            return checked, differences
        for row in rows:
            differences += _compare(row, refold(row.id, map(_past, histories.get(row.id, []))))
        checked += len(rows)
        after = rows[-1].id


def _compare(stored: MessageState, refolded: MessageState | None) -> list[Difference]:
    if refolded is None:
        return [Difference(public_id(stored.id), "events", "none", "at least one")]
    return [
        Difference(public_id(stored.id), name, str(getattr(stored, name)), str(getattr(refolded, name)))
        for name in _COMPARED
        if getattr(stored, name) != getattr(refolded, name)
    ]


def _past(row: MessageEvent) -> PastEvent:
    return PastEvent(
        source=Source(row.source),
        raw_status=row.status,
        applied=row.applied,
        reason=row.reason,
        attempt=row.attempt,
        error_code=row.error_code,
        twilio_sid=row.twilio_sid,
        received_at=row.received_at,
        receipt_id=row.receipt_id,
    )
