"""Persist verified callbacks: drain the stream in batches, one transaction each, acknowledged after the commit."""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import Session

from smsapp.callbacks import dead_letters, spool
from smsapp.callbacks.rules import InvalidCallbackError, inbound_from, report_from
from smsapp.events.types import EventType
from smsapp.ids import new_id
from smsapp.inbound import queries as inbound
from smsapp.inbound.rules import InboundText
from smsapp.lifecycle.record_reports import TargetedReport, record_reports
from smsapp.messages.queries import StaleMessageError
from smsapp.ports import PendingEvent, StreamEntry
from smsapp.queue.drain import DATABASE_AWAY, drain_slot, idle_of, retry_while_db_down
from smsapp.queue.tasks import Task
from smsapp.runtime import Runtime, Transaction
from smsapp.suppressions.record import record_keywords
from smsapp.twilio.callback import Callback

log = structlog.get_logger(__name__)

_CONFLICTS = 5
_MAX_SLOTS = 4

_REST = 2.0
_LONGEST_REST_S = 0.1
"""How many times as long as a small batch took a drain rests after it, and at most: a transaction costs as much as
dozens of its rows, so single callbacks in a stream share one, and a lonely callback waits for nothing."""

_LISTEN_FOR = timedelta(milliseconds=500)
"""How long to wait for callbacks at a stretch: between two, the drain looks whether it should stop."""


def track_callbacks(rt: Runtime, slot: int = 0) -> int:
    """Persist everything that waits in the stream and return how many callbacks that was.

    A drain that finds full batches wakes another in the next slot, so that several worker processes share a burst.
    """
    total = 0
    batch = rt.settings.callback_batch
    while True:
        with drain_slot(rt, Task.TRACK_CALLBACKS, slot) as keep_going:
            for entries in _batches(rt, keep_going, idle=idle_of(slot, rt.drain_idle)):
                if len(entries) == batch and slot + 1 < _MAX_SLOTS:
                    rt.tasks.wake(Task.TRACK_CALLBACKS, slot + 1)
                total += len(entries)
                began = time.monotonic()
                persist_entries(rt, entries)
                if len(entries) < batch // 4:
                    rt.stopping.wait(min(_REST * (time.monotonic() - began), _LONGEST_REST_S))
        if rt.stopping.is_set() or not (entries := rt.stream.read(batch)):
            return total
        persist_entries(rt, entries)
        total += len(entries)


def _batches(
    rt: Runtime, keep_going: Callable[[], bool], *, idle: timedelta
) -> Iterator[Sequence[StreamEntry]]:
    """Yield what waits in the stream until nothing has come for `idle`."""
    ends_at = time.monotonic() + idle.total_seconds()
    while keep_going():
        if entries := rt.stream.read(rt.settings.callback_batch, wait=min(idle, _LISTEN_FOR)):
            yield entries
            ends_at = time.monotonic() + idle.total_seconds()
        elif time.monotonic() >= ends_at:
            return


def reclaim_callbacks(rt: Runtime) -> int:
    """Persist callbacks that a dead worker read and never acknowledged."""
    total = 0
    while not rt.stopping.is_set():
        entries = rt.stream.reclaim(rt.settings.callback_batch, idle=rt.settings.stream_reclaim_after)
        if not entries:
            break
        persist_entries(rt, entries)
        total += len(entries)
    return total


def persist_entries(rt: Runtime, entries: Sequence[StreamEntry]) -> None:
    """Commit a batch and acknowledge it; one that cannot be processed becomes a dead letter and blocks nothing."""
    readable = [entry.callback for entry in entries if entry.callback]
    retry_while_db_down(rt, lambda: _persist(rt, readable))
    for entry in entries:
        if entry.callback is None:
            with rt.transaction() as tx:
                _keep_letter(
                    rt, tx.session, {"raw": entry.raw.replace("\x00", "\\0")}, "unreadable stream entry"
                )
    rt.stream.acknowledge(entry.entry_id for entry in entries)


def _persist(rt: Runtime, callbacks: Sequence[Callback]) -> None:
    """Commit the callbacks together; if that fails, halve the batch until the poison callback is isolated.

    Raises:
        OperationalError: the database is down; nothing is acknowledged, and every entry is delivered again.
    """
    if not callbacks:
        return
    try:
        _persist_together(rt, callbacks)
    except DATABASE_AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - a poison callback may raise anything and must block no other
        if len(callbacks) == 1:
            with rt.transaction() as tx:
                dead_letter(rt, tx.session, callbacks[0], error)
            return
        middle = len(callbacks) // 2
        _persist(rt, callbacks[:middle])
        _persist(rt, callbacks[middle:])


def _persist_together(rt: Runtime, callbacks: Sequence[Callback]) -> None:
    for conflict in range(_CONFLICTS):
        try:
            with rt.transaction() as tx:
                store_callbacks(rt, tx, callbacks)
        except (StaleMessageError, DBAPIError) as error:
            if conflict == _CONFLICTS - 1 or not _is_conflict(error):
                raise
            time.sleep(rt.rng() * 0.05)
        else:
            return


def store_callbacks(rt: Runtime, tx: Transaction, callbacks: Sequence[Callback]) -> None:
    """Store callbacks within the caller's transaction.

    Those about messages that we do not know (yet) wait in the spool.
    """
    reports: list[TargetedReport] = []
    origin: dict[Any, Callback] = {}
    for callback in callbacks:
        if callback.kind == "inbound":
            continue
        message_id, report = report_from(
            callback.body,
            target=callback.target,
            receipt_id=callback.receipt_id,
            received_at=callback.received_at,
            idempotency_token=callback.idempotency_token,
        )
        origin[callback.receipt_id] = callback
        reports.append(TargetedReport(message_id, report))
    _, unknown = record_reports(rt, tx, reports) if reports else ([], [])
    record_keywords(rt, tx, _new_texts(tx, callbacks))
    for item in unknown:
        spool.add(
            tx.session,
            origin[item.report.receipt_id],
            reason=spool.UNKNOWN_MESSAGE,
            twilio_sid=item.report.twilio_sid,
        )


def _new_texts(tx: Transaction, callbacks: Sequence[Callback]) -> list[tuple[InboundText, Callback]]:
    """Store the inbound texts that have not come before, and return them."""
    texts = [(inbound_from(each.body), each) for each in callbacks if each.kind == "inbound"]
    came_before = inbound.forgotten(tx.session, [text.twilio_sid for text, _ in texts])
    new = [
        (text, callback)
        for text, callback in texts
        if text.twilio_sid not in came_before and inbound.add(tx.session, text, receipt=callback)
    ]
    for _, callback in new:
        tx.emit(_received(callback))
    return new


def _received(callback: Callback) -> PendingEvent:
    receipt_id = callback.receipt_id
    return PendingEvent(EventType.MESSAGE_RECEIVED, receipt_id, callback.received_at, message_id=receipt_id)


def dead_letter(rt: Runtime, session: Session, callback: Callback, error: Exception) -> None:
    """Store what could not be processed, with its cause, for an operator to inspect and replay."""
    _keep_letter(rt, session, _letter(callback), f"{type(error).__name__}: {_cause(error)}")


def _keep_letter(rt: Runtime, session: Session, payload: dict[str, Any], cause: str) -> None:
    log.error("dead_letter", kind="callback", message_id=payload.get("target"), cause=cause)
    dead_letters.add(session, id=new_id(), kind="callback", payload=payload, cause=cause, now=rt.clock())


def _is_conflict(error: Exception) -> bool:
    """Return whether a retry can help: after a lost race, a deadlock (40P01) or a serialization failure (40001)."""
    if isinstance(error, StaleMessageError):
        return True
    return getattr(getattr(error, "orig", None), "sqlstate", None) in {"40P01", "40001"}


def _cause(error: Exception) -> str:
    """Return the error without its parameters, which are personal data."""
    text = (
        str(getattr(error, "orig", None) or error)
        if not isinstance(error, InvalidCallbackError)
        else str(error)
    )
    return text.splitlines()[0][:200] if text else ""


def _letter(callback: Callback) -> dict[str, Any]:
    """Return the callback without NUL, which PostgreSQL cannot store: it would make the dead letter poison, too."""
    return {
        "receipt_id": callback.receipt_id.hex,
        "kind": callback.kind,
        "target": callback.target and callback.target.replace("\x00", "\\0"),
        "body": callback.body.replace("\x00", "\\0"),
        "idempotency_token": callback.idempotency_token,
        "received_at": callback.received_at.isoformat(),
    }


def wake_for_callbacks(rt: Runtime) -> int:
    """Wake a drain when callbacks wait in the stream."""
    return int(rt.stream.length() > 0 and rt.tasks.wake(Task.TRACK_CALLBACKS))
