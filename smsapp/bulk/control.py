"""Start, pause, resume or cancel a job."""

from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any
from uuid import UUID

from smsapp.bulk import queries as sms_jobs
from smsapp.bulk import row_queries as job_rows
from smsapp.bulk.queries import JobState
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime


class Command(StrEnum):
    """A command to a job."""

    START = "start"
    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


_MOVES = MappingProxyType(
    {
        Command.START: (frozenset({JobState.READY}), JobState.RUNNING),
        Command.PAUSE: (frozenset({JobState.RUNNING}), JobState.PAUSED),
        Command.RESUME: (frozenset({JobState.PAUSED}), JobState.RUNNING),
        Command.CANCEL: (frozenset({JobState.READY, JobState.RUNNING, JobState.PAUSED}), JobState.CANCELED),
    }
)


class JobNotFoundError(Exception):
    """There is no such job."""


@dataclass(slots=True)
class WrongJobStateError(Exception):
    """The job's `state` does not allow the command."""

    state: str


def control_job(rt: Runtime, job_id: UUID, command: Command) -> None:
    """Carry out the command; a no-op when the job is already in the wanted state, so that callers can repeat it.

    No row becomes a message after a pause or a cancellation has returned: the feeder locks the job while it stores
    messages, and checks its state first.

    Raises:
        JobNotFoundError: there is no such job.
        WrongJobStateError: its present state does not allow the command.
    """
    allowed, goal = _MOVES[command]
    now = rt.clock()
    with rt.transaction() as tx:
        job = sms_jobs.lock(tx.session, job_id)
        if job is None:
            raise JobNotFoundError
        if job.state == goal:
            return
        if job.state not in allowed:
            raise WrongJobStateError(job.state)
        values: dict[str, Any] = {"state": goal.value, "updated_at": now}
        if command is Command.START:
            values["started_at"] = now
        if command is Command.CANCEL:
            job_rows.cancel_waiting(tx.session, job_id)
            values |= {"canceled": job.canceled + job.waiting, "waiting": 0}
        sms_jobs.change(tx.session, job_id, values)
    rt.tasks.wake(Task.FEED_JOBS)
