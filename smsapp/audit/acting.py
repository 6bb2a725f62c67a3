"""Who acts: bound where a request or a command begins, like the request id in logs, and read where acts are recorded.

A parameter through every service would be the same value at some thirty places, and forgotten at one of them.
"""

from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Actor:
    """Who acts, from which address, in which request. `who` is a key's prefix, `cli:USER@HOST`, or `system`."""

    who: str
    address: str | None = None
    request_id: str | None = None


SYSTEM = Actor("system")
_acting: ContextVar[Actor] = ContextVar("smsapp_actor", default=SYSTEM)


def act_as(actor: Actor) -> None:
    """Let everything that follows in this request or command be this actor's."""
    _acting.set(actor)


def acting() -> Actor:
    """Return who acts: the service itself unless an edge said otherwise."""
    return _acting.get()
