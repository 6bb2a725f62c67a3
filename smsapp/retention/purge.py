"""Remove rows past their retention period, in small transactions."""

from datetime import timedelta

from smsapp.callbacks import spool
from smsapp.callbacks.drain_spool import ORPHAN_AGE
from smsapp.db import idempotency
from smsapp.db.sessions import reading
from smsapp.events import queries as feed
from smsapp.inbound import queries as inbound
from smsapp.refusals import queries as refusals
from smsapp.runtime import Runtime
from smsapp.webhooks import queries as deliveries

KEEP_DELIVERIES = timedelta(days=30)
KEEP_REFUSALS = timedelta(days=7)
KEEP_IDEMPOTENCY_KEYS = timedelta(hours=48)
_FORGET_BATCHES = 20

_BATCH = 500


def forget_deliveries(rt: Runtime) -> int:
    """Remove webhook deliveries that ended longer ago than the retention period."""
    before = rt.clock() - KEEP_DELIVERIES
    with reading(rt.sessions) as session:
        if not deliveries.any_older(session, before):
            return 0
    with rt.transaction() as tx:
        return deliveries.forget(tx.session, before=before, limit=_BATCH)


def forget_idempotency_keys(rt: Runtime) -> int:
    """Remove stored responses whose Idempotency-Keys have expired."""
    limit = rt.clock() - KEEP_IDEMPOTENCY_KEYS
    with reading(rt.sessions) as session:
        oldest = idempotency.oldest(session)
    if oldest is None or oldest >= limit:
        return 0
    with rt.transaction() as tx:
        return idempotency.forget(tx.session, before=limit)


def forget_events(rt: Runtime, *, batch: int = 5000) -> int:
    """Remove events past their retention period from the beginning of the feed, in small transactions."""
    limit = rt.clock() - rt.settings.keep_events
    with reading(rt.sessions) as session:
        oldest = feed.oldest_written_at(session)
    if oldest is None or oldest >= limit:
        return 0
    total = 0
    for _ in range(_FORGET_BATCHES):
        with rt.transaction() as tx:
            gone = feed.forget(tx.session, before=limit, limit=batch)
        total += gone
        if gone < batch or rt.stopping.is_set():
            break
    return total


def forget_inbound(rt: Runtime) -> int:
    """Remove inbound texts past their retention period; the opt-outs that they caused stay."""
    if rt.settings.keep_inbound is None:
        return 0
    limit = rt.clock() - rt.settings.keep_inbound
    with reading(rt.sessions) as session:
        oldest = inbound.oldest(session)
    if oldest is None or oldest >= limit:
        return 0
    with rt.transaction() as tx:
        return inbound.forget(tx.session, before=limit, limit=_BATCH)


def forget_orphans(rt: Runtime, *, batch: int = _BATCH) -> int:
    """Remove callbacks whose message has not appeared within `ORPHAN_AGE`: they hold phone numbers."""
    with rt.transaction() as tx:
        return spool.forget_orphans(tx.session, before=rt.clock() - ORPHAN_AGE, limit=batch)


def forget_refusals(rt: Runtime) -> int:
    """Remove refused callbacks that have not come for `KEEP_REFUSALS`."""
    with reading(rt.sessions) as session:
        if not refusals.count(session):
            return 0
    with rt.transaction() as tx:
        return refusals.forget(tx.session, before=rt.clock() - KEEP_REFUSALS)
