"""Which message goes first: a code that somebody waits for, before a text, before a campaign."""

from enum import IntEnum
from typing import Literal

Priority = Literal["otp", "normal", "bulk"]


class Lane(IntEnum):
    """What `priority` is stored as; the lower goes first. Each has drains, jobs and a queue of its own."""

    OTP = 0
    NORMAL = 1
    BULK = 2

    @classmethod
    def of(cls, priority: Priority) -> "Lane":
        """Return the lane of a priority."""
        return cls[priority.upper()]

    @property
    def priority(self) -> str:
        """Return the word that callers use."""
        return self.name.lower()
