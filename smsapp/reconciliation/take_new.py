"""Apply the step of a lookup that found nothing; the history records it once, however often the lookup repeats."""

from collections.abc import Callable, Iterable
from uuid import UUID

from smsapp.lifecycle.apply import apply
from smsapp.messages import queries as messages
from smsapp.messages.fold import MessageState, Step, apply_step
from smsapp.reconciliation import queries
from smsapp.runtime import Runtime, Transaction


def take_new(
    rt: Runtime, tx: Transaction, ids: Iterable[UUID], step_of: Callable[[MessageState], Step | None]
) -> None:
    """Apply a step to each message; a step that only repeats the last history entry just moves `due_at`."""
    locked = messages.lock(tx.session, ids)
    last = queries.last_steps(tx.session, locked)
    steps = {message.id: step for message in locked.values() if (step := step_of(message))}
    repeated = {key for key, step in steps.items() if last.get(key) == (step.reason, step.attempt)}
    for key in repeated:
        queries.look_later(tx.session, key, due_at=steps[key].due_at)
    apply(rt, tx, steps.keys() - repeated, lambda message: apply_step(message, steps[message.id]))
