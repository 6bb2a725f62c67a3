"""Lanes of priority: a code that somebody waits for goes before a text, and a text before a campaign."""

from enum import IntEnum
from typing import Literal

Priority = Literal["otp", "normal", "bulk"]


class Lane(IntEnum):
    """The stored form of `priority`; lower values go first. Each lane has drains, a task and a queue of its own."""

    OTP = 0
    NORMAL = 1
    BULK = 2

    @classmethod
    def of(cls, priority: Priority) -> "Lane":
        """Return the lane of a priority."""
        return cls[priority.upper()]

    @property
    def priority(self) -> str:
        """Return the name that callers use."""
        return self.name.lower()
