"""Wake the feeder for bulk jobs that no feeder is working on, and remove uploads that were never finished."""

from datetime import timedelta

from smsapp.bulk import queries as sms_jobs
from smsapp.bulk.create import discard_upload
from smsapp.db.sessions import reading
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime

UPLOAD_AGE = timedelta(hours=1)
"""Storing an upload takes seconds, and begins once the whole body has arrived."""


def wake_for_jobs(rt: Runtime) -> int:
    """Wake the feeder when a job has rows to feed or may be finished."""
    with reading(rt.sessions) as session:
        active = sms_jobs.unfinished(session, now=rt.clock())
    return int(bool(active) and rt.tasks.wake(Task.FEED_JOBS))


def discard_uploads(rt: Runtime) -> int:
    """Remove jobs whose upload died with its process; no caller ever got their ids."""
    with reading(rt.sessions) as session:
        abandoned = sms_jobs.abandoned(session, before=rt.clock() - UPLOAD_AGE)
    for job_id in abandoned:
        discard_upload(rt, job_id)
    return len(abandoned)
