"""What a measurement needs of a system: ours, the peer or the textbook's."""

from dataclasses import dataclass
from typing import Protocol

from bench.traffic import Address


@dataclass(frozen=True)
class Faults:
    """Faults after a run: callbacks or messages that left no trace, and wrong contents."""

    lost: int
    wrong: int


class System(Protocol):
    """A running service with its database; messages are named by numbers, see `bench.traffic`."""

    name: str
    port: int
    address: Address
    send_headers: dict[str, str]

    @property
    def base_url(self) -> str:
        """The URL for which callbacks are signed."""

    def roots(self) -> dict[str, list[int]]:
        """Return its processes by name, the roots of their trees."""

    def clear(self) -> None:
        """Remove every message."""

    def seed(self, numbers: range) -> None:
        """Store these messages as queued at Twilio, as they are after a send."""

    def unfinished(self) -> int:
        """Return how many messages have no final status."""

    def unsubmitted(self) -> int:
        """Return how many accepted messages have not been at Twilio yet."""

    def faults(self, messages: int) -> Faults:
        """Return what is missing or wrong when so many messages are to be delivered, each with both callbacks."""

    def stored_bytes(self) -> dict[str, float]:
        """Return bytes per message and, where there is a history, per event."""
