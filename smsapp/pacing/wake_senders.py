"""Wake a drain for each lane in which messages are due."""

from smsapp.db.sessions import reading
from smsapp.pacing import due
from smsapp.queue.tasks import SENDING
from smsapp.runtime import Runtime


def wake_senders(rt: Runtime) -> int:
    """Wake the drains of lanes with due messages and return how many; a running drain finds the messages by itself."""
    with reading(rt.sessions) as session:
        lanes = due.due_lanes(session, now=rt.clock())
    return sum(rt.tasks.wake(SENDING[lane]) for lane in lanes)
