"""Find work that nobody was woken for: the queue may lose anything, the rows lose nothing."""

from collections.abc import Callable, Sequence
from datetime import timedelta

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from smsapp.domain.failures import OwnCode
from smsapp.domain.ids import new_id
from smsapp.domain.status import Status
from smsapp.domain.tracking import Source, Step, take
from smsapp.jobs import Job
from smsapp.runtime import Runtime
from smsapp.services.create_job import discard_upload
from smsapp.services.drain import DATABASE_AWAY, alone, still_alone
from smsapp.services.log_changes import log_changes
from smsapp.services.miss_deadlines import miss_deadlines
from smsapp.services.push_events import wake_for_push
from smsapp.services.redact_messages import redact_messages
from smsapp.services.track_callbacks import bury, reclaim_callbacks, store_callbacks
from smsapp.services.trip_breakers import probe_breakers
from smsapp.services.wake_senders import wake_senders
from smsapp.store import claims, deliveries, feed, idempotency, inbound, inbox, messages, sms_jobs
from smsapp.store.messages import Change, StaleMessageError
from smsapp.store.sessions import reading
from smsapp.stream import Callback

log = structlog.get_logger(__name__)

ORPHAN_AGE = timedelta(days=7)
"""How long a callback may wait for its message; Twilio itself forgets nothing earlier than that."""

KEEP_DELIVERIES = timedelta(days=30)
KEEP_IDEMPOTENCY_KEYS = timedelta(hours=48)

UPLOAD_AGE = timedelta(hours=1)
"""Storing an upload takes seconds, and begins when all of it has come."""

_BATCH = 500
_FORGOTTEN_TOGETHER = 5000
_FORGET_BATCHES = 20


def sweep(rt: Runtime) -> None:
    """Do each part of the round, whatever became of the part before."""
    with alone(rt, Job.SWEEP) as may_run:
        for part in PARTS if may_run else ():
            still_alone(rt, Job.SWEEP)
            try:
                done = part(rt)
            except (SQLAlchemyError, RedisError, StaleMessageError) as error:
                log.warning("sweep_part_failed", part=part.__name__, error=type(error).__name__)
            except Exception:
                log.exception("sweep_part_broke", part=part.__name__)  # a defect of ours stops no other part
            else:
                if done:
                    log.info("swept", part=part.__name__, count=done)


def expire_claims(rt: Runtime) -> int:
    """Turn messages whose worker died while submitting into unconfirmed ones: they may be at Twilio, or not."""
    now = rt.clock()
    with rt.sessions.begin() as session:
        locked = messages.lock(session, claims.expired_claims(session, now=now, limit=_BATCH))
        changes = []
        for message in locked.values():
            if message.status is not Status.SUBMITTING or message.due_at is None or message.due_at > now:
                continue
            step = Step(
                source=Source.SYSTEM,
                status=Status.UNCONFIRMED,
                attempt=message.attempt,
                at=now,
                receipt_id=new_id(),
                due_at=now,
                error_code=OwnCode.ANSWER_LOST,
                reason="worker_lost",
            )
            after, event = take(message, step)
            changes.append(Change(message, after, [event]))
        messages.save(session, changes)
    log_changes(changes)
    return len(changes)


def process_inbox(rt: Runtime) -> int:
    """Process callbacks that Redis could not take, and those whose message has appeared meanwhile.

    All together; if that fails, one by one, so that a poison callback costs only itself.
    """
    with rt.sessions.begin() as session:
        entries = inbox.ready(session, limit=_BATCH, orphans_since=rt.clock() - ORPHAN_AGE)
        callbacks = [inbox.as_callback(entry) for entry in entries]
        if not callbacks:
            return 0
        inbox.remove(session, [callback.receipt_id for callback in callbacks])
        session.flush()
        changes = _store(rt, session, callbacks)
    log_changes(changes)
    return len(callbacks)


def _store(rt: Runtime, session: Session, callbacks: Sequence[Callback]) -> list[Change]:
    try:
        with session.begin_nested():
            return store_callbacks(rt, session, callbacks)
    except DATABASE_AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - whatever a poison callback breaks
        if len(callbacks) > 1:
            return [change for callback in callbacks for change in _store(rt, session, [callback])]
        bury(rt, session, callbacks[0], error)
        return []


def wake_for_due(rt: Runtime) -> int:
    """Wake a sender when messages are due, for instance because the first wake-up was lost with the broker."""
    return wake_senders(rt)


def wake_for_callbacks(rt: Runtime) -> int:
    """Wake a drain when callbacks wait in the stream."""
    return int(rt.stream.length() > 0 and rt.jobs.wake(Job.TRACK_CALLBACKS))


def forget_deliveries(rt: Runtime) -> int:
    """Remove what was delivered, or given up, so long ago that nobody will ask any more."""
    before = rt.clock() - KEEP_DELIVERIES
    with reading(rt.sessions) as session:
        if not deliveries.any_older(session, before):
            return 0
    with rt.sessions.begin() as session:
        return deliveries.forget(session, before=before, limit=_BATCH)


def forget_idempotency_keys(rt: Runtime) -> int:
    """Remove answers that no caller can still be waiting to repeat."""
    limit = rt.clock() - KEEP_IDEMPOTENCY_KEYS
    with reading(rt.sessions) as session:
        oldest = idempotency.oldest(session)
    if oldest is None or oldest >= limit:
        return 0
    with rt.sessions.begin() as session:
        return idempotency.forget(session, before=limit)


def forget_events(rt: Runtime) -> int:
    """Remove events from the beginning of the feed that were written too long ago, in small transactions."""
    limit = rt.clock() - rt.settings.keep_events
    with reading(rt.sessions) as session:
        oldest = feed.oldest_written_at(session)
    if oldest is None or oldest >= limit:
        return 0
    total = 0
    for _ in range(_FORGET_BATCHES):
        with rt.sessions.begin() as session:
            gone = feed.forget(session, before=limit, limit=_FORGOTTEN_TOGETHER)
        total += gone
        if gone < _FORGOTTEN_TOGETHER or rt.stopping.is_set():
            break
    return total


def wake_for_jobs(rt: Runtime) -> int:
    """Wake the feeder when a job has rows to hand on, or may have come to its end."""
    with reading(rt.sessions) as session:
        active = sms_jobs.unfinished(session, now=rt.clock())
    return int(bool(active) and rt.jobs.wake(Job.FEED_JOBS))


def discard_uploads(rt: Runtime) -> int:
    """Remove jobs whose upload died with its process; nobody was ever told of them."""
    with reading(rt.sessions) as session:
        abandoned = sms_jobs.abandoned(session, before=rt.clock() - UPLOAD_AGE)
    for job_id in abandoned:
        discard_upload(rt, job_id)
    return len(abandoned)


def forget_inbound(rt: Runtime) -> int:
    """Remove inbound texts that came too long ago; what they said of opt-outs stays."""
    if rt.settings.keep_inbound is None:
        return 0
    limit = rt.clock() - rt.settings.keep_inbound
    with reading(rt.sessions) as session:
        oldest = inbound.oldest(session)
    if oldest is None or oldest >= limit:
        return 0
    with rt.sessions.begin() as session:
        return inbound.forget(session, before=limit, limit=_BATCH)


PARTS: tuple[Callable[[Runtime], int], ...] = (
    expire_claims,
    miss_deadlines,
    process_inbox,
    reclaim_callbacks,
    probe_breakers,
    wake_for_due,
    wake_for_callbacks,
    redact_messages,
    wake_for_push,
    forget_idempotency_keys,
    forget_events,
    wake_for_jobs,
    discard_uploads,
    forget_inbound,
    forget_deliveries,
)
