"""The sweep, which finds work whose wake-up was lost, and forgetting, which removes what was kept for its time.

The queue may lose anything; the rows lose nothing.
"""

from collections.abc import Callable, Sequence

import structlog
from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError

from smsapp.bulk.tend import discard_uploads, wake_for_jobs
from smsapp.callbacks.drain_spool import drain_spool
from smsapp.callbacks.track import reclaim_callbacks, wake_for_callbacks
from smsapp.events.look_for_news import publish_position
from smsapp.lifecycle.miss_deadlines import miss_deadlines
from smsapp.messages.queries import StaleMessageError
from smsapp.pacing.wake_senders import wake_senders
from smsapp.queue.drain import singleton_lock
from smsapp.queue.tasks import Task
from smsapp.retention.erase import erase_requested
from smsapp.retention.expire import (
    expire_dead_letters,
    expire_job_rows,
    expire_job_texts,
    expire_numbers,
    expire_texts,
)
from smsapp.retention.purge import (
    forget_deliveries,
    forget_events,
    forget_idempotency_keys,
    forget_inbound,
    forget_orphans,
    forget_refusals,
)
from smsapp.retention.redact import redact_messages
from smsapp.runtime import Runtime
from smsapp.submission.expire_claims import expire_claims
from smsapp.submission.probe_breakers import probe_breakers
from smsapp.webhooks.push import wake_for_push

log = structlog.get_logger(__name__)


def sweep(rt: Runtime) -> None:
    """Find work whose wake-up was lost."""
    _run(rt, Task.SWEEP, PARTS)


def forget(rt: Runtime) -> None:
    """Remove what has been kept for its time; less often than the sweep, since nothing here is urgent."""
    _run(rt, Task.FORGET, FORGETTING)


def _run(rt: Runtime, task: Task, parts: Sequence[Callable[[Runtime], int]]) -> None:
    """Run every part in one worker at a time, even if an earlier part failed."""
    with singleton_lock(rt, task) as may_run:
        for part in parts if may_run else ():
            try:
                done = part(rt)
            except (SQLAlchemyError, RedisError, StaleMessageError) as error:
                log.warning("sweep_part_failed", part=part.__name__, error=type(error).__name__)
            except Exception:
                log.exception("sweep_part_broke", part=part.__name__)  # our bug must not stop the others
            else:
                if done:
                    log.info("swept", part=part.__name__, count=done)


def wake_for_due(rt: Runtime) -> int:
    """Wake a drain when messages are due, for instance because the first wake-up was lost with the broker."""
    return wake_senders(rt)


PARTS: tuple[Callable[[Runtime], int], ...] = (
    publish_position,
    expire_claims,
    miss_deadlines,
    drain_spool,
    reclaim_callbacks,
    probe_breakers,
    wake_for_due,
    wake_for_callbacks,
    redact_messages,
    wake_for_push,
    wake_for_jobs,
)

FORGETTING: tuple[Callable[[Runtime], int], ...] = (
    forget_idempotency_keys,
    forget_events,
    discard_uploads,
    forget_inbound,
    forget_deliveries,
    forget_orphans,
    erase_requested,
    expire_texts,
    expire_numbers,
    expire_job_texts,
    expire_job_rows,
    expire_dead_letters,
    forget_refusals,
)
