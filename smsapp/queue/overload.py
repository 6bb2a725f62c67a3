"""The error for a backlog at its limit: nothing more is accepted for now."""

from dataclasses import dataclass
from datetime import timedelta

RETRY_AFTER = timedelta(seconds=30)


@dataclass(slots=True)
class OverloadedError(Exception):
    """A backlog has reached its limit. `what` names the backlog, `retry_after` is when to retry."""

    what: str
    retry_after: timedelta = RETRY_AFTER
