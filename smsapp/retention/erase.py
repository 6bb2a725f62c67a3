"""Erase a message or a person: here at once, at Twilio as soon as it allows that.

docs/decisions/0033-retention-and-erasure.md says what stays and why.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from uuid import UUID

import structlog

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.bulk import queries as jobs
from smsapp.bulk import row_queries as job_rows
from smsapp.bulk.models import BulkRow
from smsapp.bulk.rows import RowState, SettledRow
from smsapp.callbacks.drain_spool import drain_spool
from smsapp.db.sessions import reading
from smsapp.ids import public_id
from smsapp.messages import queries as messages
from smsapp.retention import erasure_queries as erasures
from smsapp.retention import person_queries as people
from smsapp.retention.person_queries import Phone
from smsapp.retention.rules import is_erasable
from smsapp.runtime import Runtime
from smsapp.sending.cancel import MessageNotFoundError, cancel_pending

log = structlog.get_logger(__name__)

_BATCH = 200


class MessageInFlightError(Exception):
    """The message has no outcome yet: Twilio would refuse to remove it, and we need its number to find it there."""


@dataclass(frozen=True, slots=True)
class ErasureReport:
    """How many rows of each kind were erased. `later` messages have no outcome yet; the sweep erases them then.

    `suppressions` stay, without their notes.
    """

    messages: int
    later: int
    inbound: int
    rows: int
    callbacks: int
    suppressions: int


def erase_message(rt: Runtime, message_id: UUID) -> None:
    """Remove a message's number, text and what else it says of a person; its status and times stay. Idempotent.

    Raises:
        MessageNotFoundError: no message has this id.
        MessageInFlightError: it has no outcome yet.
    """
    with rt.transaction() as tx:
        found = messages.lock(tx.session, [message_id]).get(message_id)
        if found is None:
            raise MessageNotFoundError
        if not is_erasable(found):
            raise MessageInFlightError
        erasures.erase(tx.session, [message_id], now=rt.clock())
        audit.record(tx.session, Act.MESSAGE_ERASED, public_id(message_id), now=rt.clock())
    log.info("message_erased")


def erase_person(rt: Runtime, phone: Phone) -> ErasureReport:
    """Remove everything that is stored about a phone, except that it must not be texted. Safe to repeat.

    What waits to be sent to it is canceled first. Callbacks that wait are processed first, so that none brings the
    number back.
    """
    while drain_spool(rt):
        pass
    rows = _erase_rows(rt, phone)
    erased, later = _erase_messages(rt, phone)
    with rt.transaction() as tx:
        inbound = people.forget_inbound(tx.session, phone)
        callbacks = people.forget_callbacks(tx.session, phone)
        people.forget_in_events(tx.session, phone)
        people.forget_answers(tx.session, phone)
        suppressions = people.forget_notes(tx.session, phone)
        report = ErasureReport(erased, later, inbound, rows, callbacks, suppressions)
        # Not the number: this entry stays.
        audit.record(tx.session, Act.PERSON_ERASED, now=rt.clock(), details=asdict(report))
    log.info("person_erased", messages=erased, later=later)
    return report


def erase_requested(rt: Runtime) -> int:
    """Erase messages that have got their outcome since their erasure was requested."""
    total, last = 0, UUID(int=0)
    while not rt.stopping.is_set():
        with reading(rt.sessions) as session:
            ids = erasures.requested(session, after=last, limit=_BATCH)
        if not ids:
            break
        total += _erase_ended(rt, ids)[0]
        last = ids[-1]
    return total


def _erase_messages(rt: Runtime, phone: Phone) -> tuple[int, int]:
    """Erase a phone's messages; return how many, and how many have no outcome yet."""
    erased = later = 0
    last = UUID(int=0)
    while True:
        with reading(rt.sessions) as session:
            ids = people.messages_to(session, phone, after=last, limit=_BATCH)
        if not ids:
            return erased, later
        cancel_pending(rt, ids)
        ended, waiting = _erase_ended(rt, ids)
        erased, later, last = erased + ended, later + waiting, ids[-1]


def _erase_ended(rt: Runtime, ids: Sequence[UUID]) -> tuple[int, int]:
    """Erase those of the messages that have an outcome, and remember the others; return how many of each."""
    with rt.transaction() as tx:
        found = messages.lock(tx.session, ids)
        ended = [message.id for message in found.values() if is_erasable(message)]
        erasures.erase(tx.session, ended, now=rt.clock())
        waiting = [message_id for message_id in found if message_id not in set(ended)]
        erasures.request(tx.session, waiting, now=rt.clock())
    return len(ended), len(waiting)


def _erase_rows(rt: Runtime, phone: Phone) -> int:
    """Cancel rows of jobs that wait to become messages to this phone, and erase the others."""
    with reading(rt.sessions) as session:
        found = people.rows_to(session, phone)
    of_job: dict[UUID, list[BulkRow]] = defaultdict(list)
    for row in found:
        of_job[row.job_id].append(row)
    for job_id, rows in of_job.items():
        _erase_rows_of(rt, job_id, rows)
    return len(found)


def _erase_rows_of(rt: Runtime, job_id: UUID, rows: list[BulkRow]) -> None:
    with rt.transaction() as tx:
        jobs.lock(tx.session, job_id)
        waiting = job_rows.still_waiting(tx.session, job_id, [row.number for row in rows])
        if waiting:
            canceled = [SettledRow(number, RowState.CANCELED) for number in sorted(waiting)]
            job_rows.settle(tx.session, job_id, canceled)
            jobs.count(tx.session, job_id, now=rt.clock(), waiting=-len(canceled), canceled=len(canceled))
        for row in rows:
            people.forget_row(tx.session, row)
