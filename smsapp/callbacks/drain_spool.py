"""Process callbacks that wait in the database."""

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy.orm import Session

from smsapp.callbacks import spool as inbox
from smsapp.callbacks.track import bury, store_callbacks
from smsapp.lifecycle.log_changes import log_changes
from smsapp.messages.queries import Change
from smsapp.queue.drain import DATABASE_AWAY
from smsapp.runtime import Runtime
from smsapp.twilio.callback import Callback

ORPHAN_AGE = timedelta(days=7)
"""How long a callback may wait for its message; Twilio itself forgets nothing earlier than that."""

_BATCH = 500


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
