"""What Twilio's refusal of one attempt means for the message, and for the traffic around it."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from smsapp.backoff import Wait
from smsapp.twilio.error_codes import FAILURES, OWN_FAILURES, Failure, FailureClass, OwnCode, explain


class SubmissionVerdict(StrEnum):
    """What an answer other than acceptance means for one attempt to create a message."""

    REFUSED = "refused"  # permanent: the message has failed
    RETRY = "retry"  # certainly not processed: safe to try again
    UNKNOWN = "unknown"  # may have been processed: look it up before anything else


class BreakerScope(StrEnum):
    """How much of the traffic an answer concerns beyond its own message."""

    ACCOUNT = "account"
    SENDER = "sender"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do with the message, and with the traffic around it."""

    verdict: SubmissionVerdict
    failure: Failure
    breaker: BreakerScope | None = None  # park everything in this scope until a probe succeeds
    slows: BreakerScope | None = None  # send more slowly in this scope
    is_alone: bool = False  # the account works: Twilio refuses it for this message only

    @classmethod
    def not_sent(cls) -> "Judgement":
        """Judge a request that did not leave this machine: nobody can have processed it."""
        return cls(SubmissionVerdict.RETRY, OWN_FAILURES[OwnCode.TWILIO_UNREACHABLE])

    @classmethod
    def unknown(cls) -> "Judgement":
        """Judge a request whose answer never came, or cannot be read."""
        return cls(SubmissionVerdict.UNKNOWN, OWN_FAILURES[OwnCode.ANSWER_LOST])

    @classmethod
    def too_late(cls) -> "Judgement":
        """Judge a request that was not made, because the message could not have arrived in time."""
        return cls(SubmissionVerdict.REFUSED, OWN_FAILURES[OwnCode.DEADLINE_MISSED])

    @classmethod
    def opted_out(cls) -> "Judgement":
        """Judge a request that was not made, because the recipient has opted out of this sender."""
        return cls(SubmissionVerdict.REFUSED, OWN_FAILURES[OwnCode.RECIPIENT_OPTED_OUT])

    @classmethod
    def quiet(cls) -> "Judgement":
        """Judge a request that was not made yet, because of the recipient's quiet hours."""
        return cls(SubmissionVerdict.RETRY, OWN_FAILURES[OwnCode.QUIET_HOURS])

    @classmethod
    def held(cls, code: OwnCode) -> "Judgement":
        """Judge a request that was not made yet, because a guard holds it."""
        return cls(SubmissionVerdict.RETRY, OWN_FAILURES[code])

    @classmethod
    def removed(cls) -> "Judgement":
        """Judge a request that was not made, because its text was redacted."""
        return cls(SubmissionVerdict.REFUSED, OWN_FAILURES[OwnCode.TEXT_REMOVED])

    @property
    def code(self) -> int | None:
        """Twilio's error code or our own, None when there was none."""
        return self.failure.code or None

    @property
    def twilio_code(self) -> int | None:
        """Twilio's error code, None when the failure is not Twilio's."""
        return None if self.failure.code in OWN_FAILURES else self.code

    @property
    def account_can_tell(self) -> bool:
        """Whether fetching the account shows if this refusal concerns it, or this one message only."""
        return self.breaker is BreakerScope.ACCOUNT and shows_at_the_account(self.code)

    def of_one_message(self) -> "Judgement":
        """Return what a refusal of the account means once the account itself has answered that it works."""
        return replace(self, breaker=None, is_alone=True)

    @property
    def wait(self) -> Wait:
        """Which schedule a retry follows."""
        if self.is_alone:
            return Wait.REFUSED_ALONE
        if self.breaker:
            return Wait.PARKED
        if self.slows is BreakerScope.SENDER:
            return Wait.SENDER_QUEUE_FULL
        return Wait.THROTTLED if self.slows else Wait.NOT_SENT


# Every request of the account gets these until somebody fixes the account or our settings; the daily limit of 63038
# resets by itself.
_PARKS_ACCOUNT = frozenset({20003, 20005, 20006, 20008, 20010, 20403, 20404, 20426, 30002, 30037, 63038})
# An account that may be fetched, and is active, gets these for its messages nevertheless: a daily limit, and outbound
# messaging switched off.
_ACTIVE_ALL_THE_SAME = frozenset({30037, 63038})
# Every message of the sender gets these, whatever its destination. Not 21606, 21612 or 21703, which depend on the
# destination, nor 21659, which a short code gets for a recipient abroad (its page: "Short Code country mismatch"):
# parking would let one message stop all others.
_PARKS_SENDER = frozenset({21212, 21401, 21601, 21660, 21661, 21701, 21702, 21704, 21705})
_SLOWS: Mapping[int, BreakerScope] = {
    20429: BreakerScope.ACCOUNT,
    21611: BreakerScope.SENDER,
    63017: BreakerScope.ACCOUNT,
    63018: BreakerScope.SENDER,
}


def shows_at_the_account(code: int | None) -> bool:
    """Return whether an account that gets this code for its messages shows a fault when it is fetched itself."""
    return code not in _ACTIVE_ALL_THE_SAME


def judge_refusal(code: int | None, http_status: int) -> Judgement:
    """Return what a create request's error answer means for the message and for the traffic around it.

    A 4xx is never processed, so the message may wait until a fault that is not its own is fixed. A 5xx may have been
    processed, and a blind retry could send twice. Both 429s are safe to retry. Sources:
    https://www.twilio.com/docs/api/errors/20500, /20429 and /21611.
    """
    failure = explain(code, http_status=http_status)
    if not 400 <= http_status < 500:
        return Judgement(SubmissionVerdict.UNKNOWN, failure)
    breaker = _breaker(code, http_status)
    if breaker is not None:
        return Judgement(SubmissionVerdict.RETRY, failure, breaker=breaker)
    slows = _SLOWS.get(failure.code, BreakerScope.ACCOUNT if http_status == 429 else None)
    if slows is not None or failure.failure_class is FailureClass.RETRY_LATER:
        return Judgement(SubmissionVerdict.RETRY, failure, slows=slows)
    return Judgement(SubmissionVerdict.REFUSED, failure)


def _breaker(code: int | None, http_status: int) -> BreakerScope | None:
    if code in _PARKS_SENDER:
        return BreakerScope.SENDER
    # A create request names nothing but the account in its path, so an unexplained 404 is not the message's fault.
    unexplained = code not in FAILURES and http_status in {403, 404}
    if code in _PARKS_ACCOUNT or http_status == 401 or unexplained:
        return BreakerScope.ACCOUNT
    return None
