"""Wake a drain for each lane in which messages are due."""

from smsapp.jobs import SENDING
from smsapp.runtime import Runtime
from smsapp.store import claims
from smsapp.store.sessions import reading


def wake_senders(rt: Runtime) -> int:
    """Return how many drains were woken; one that is at work already sees the messages by itself."""
    with reading(rt.sessions) as session:
        lanes = claims.due_lanes(session, now=rt.clock())
    return sum(rt.jobs.wake(SENDING[lane]) for lane in lanes)
