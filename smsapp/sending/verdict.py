"""What would become of a request to send, said before it is made."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CheckVerdict(StrEnum):
    """What a check says, from harmless to worst."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"  # it would be sent, but look at this
    HOLD = "hold"  # it would be accepted, and wait
    REFUSE = "refuse"


_ORDER = tuple(CheckVerdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `code` is for programs, None where all is well; of a refusal it is the error's own.

    `until` is how long it would wait for this alone, as far as is known; None if not, or if it would not.
    """

    check: str
    verdict: CheckVerdict
    detail: str
    code: str | None = None
    until: datetime | None = None


def worst(findings: Sequence[Finding]) -> CheckVerdict:
    """Return the verdict on the whole."""
    return max((finding.verdict for finding in findings), key=_ORDER.index, default=CheckVerdict.PASS)
