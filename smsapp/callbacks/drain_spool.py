"""Process callbacks that wait in the database."""

from collections.abc import Sequence
from datetime import timedelta

from smsapp.callbacks import spool
from smsapp.callbacks.track import dead_letter, store_callbacks
from smsapp.queue.drain import DATABASE_AWAY
from smsapp.runtime import Runtime, Transaction
from smsapp.twilio.callback import Callback

ORPHAN_AGE = timedelta(days=7)
"""How long a callback may wait for its message; Twilio keeps its own records at least as long."""

_BATCH = 500


def drain_spool(rt: Runtime) -> int:
    """Process callbacks that Redis could not take, and those whose message has appeared since.

    First as one batch; if that fails, one by one, so that a poison callback blocks nothing else.
    """
    with rt.transaction() as tx:
        session = tx.session
        entries = spool.ready(session, limit=_BATCH, orphans_since=rt.clock() - ORPHAN_AGE)
        callbacks = [spool.as_callback(entry) for entry in entries]
        if not callbacks:
            return 0
        spool.remove(session, [callback.receipt_id for callback in callbacks])
        session.flush()
        _store(rt, tx, callbacks)
    return len(callbacks)


def _store(rt: Runtime, tx: Transaction, callbacks: Sequence[Callback]) -> None:
    try:
        with tx.savepoint():
            store_callbacks(rt, tx, callbacks)
    except DATABASE_AWAY:
        raise
    except Exception as error:  # noqa: BLE001 - a poison callback may raise anything
        if len(callbacks) == 1:
            dead_letter(rt, tx.session, callbacks[0], error)
            return
        for callback in callbacks:
            _store(rt, tx, [callback])
