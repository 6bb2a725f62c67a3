"""Ask Twilio for the account itself, to tell a fault of the account from one that a single message meets.

A refusal of the credentials (20003) may concern one message only, and parking everything for it would let one recipient
stop all others. No customer's message is risked to find out: https://www.twilio.com/docs/iam/api/account.
"""

from dataclasses import dataclass
from enum import StrEnum

from smsapp.runtime import Runtime
from smsapp.twilio.gateway import Submission
from smsapp.twilio.judgement import BreakerScope


class Standing(StrEnum):
    """What Twilio says when asked for the account."""

    WORKS = "works"
    REFUSED = "refused"
    UNKNOWN = "unknown"  # it could not be asked


@dataclass(frozen=True, slots=True)
class Account:
    """The account's standing; `cause` says how Twilio refused it, or why it could not be asked."""

    standing: Standing
    cause: str | None = None

    @property
    def sentence(self) -> str:
        """What operators and callers read about it."""
        if self.standing is Standing.WORKS:
            return "Twilio says that the account itself is active."
        if self.standing is Standing.REFUSED:
            return f"Asked for the account itself, Twilio refused, too ({self.cause})."
        return f"Twilio could not be asked for the account itself ({self.cause})."


def ask_account(rt: Runtime) -> Account:
    """Return the account's standing; never raises for anything that Twilio or the network does."""
    return _read(rt.gateway.probe())


def _read(answer: Submission) -> Account:
    judgement = answer.judgement
    if judgement is None:
        if answer.cause is None:
            return Account(Standing.WORKS)
        is_status = answer.cause.startswith("account_")
        return Account(Standing.REFUSED if is_status else Standing.UNKNOWN, answer.cause)
    cause = answer.cause or str(judgement.verdict)
    if judgement.breaker is BreakerScope.ACCOUNT:
        return Account(Standing.REFUSED, f"{cause}, code {judgement.code}" if judgement.code else cause)
    return Account(Standing.UNKNOWN, cause)
