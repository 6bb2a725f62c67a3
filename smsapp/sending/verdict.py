"""The findings of a dry run, and the verdict on the whole request."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class CheckVerdict(StrEnum):
    """The verdict of a check, from harmless to worst."""

    PASS = "pass"  # noqa: S105 - no password
    WARN = "warn"  # it would be sent, but the caller should know
    HOLD = "hold"  # it would be accepted, and wait
    REFUSE = "refuse"


_ORDER = tuple(CheckVerdict)


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found. `code` is for programs: None if nothing is wrong, and the error's own code for a refusal.

    `until` is how long this check alone would hold the message; None if that is unknown, or if it would not.
    """

    check: str
    verdict: CheckVerdict
    detail: str
    code: str | None = None
    until: datetime | None = None


def worst(findings: Sequence[Finding]) -> CheckVerdict:
    """Return the verdict on the whole."""
    return max((finding.verdict for finding in findings), key=_ORDER.index, default=CheckVerdict.PASS)
