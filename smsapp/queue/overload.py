"""Too much waits already: nothing more is promised for now."""

from dataclasses import dataclass
from datetime import timedelta

RETRY_AFTER = timedelta(seconds=30)


@dataclass(slots=True)
class OverloadedError(Exception):
    """Too much waits already. `what` is the crowded place, `retry_after` when to try again."""

    what: str
    retry_after: timedelta = RETRY_AFTER
