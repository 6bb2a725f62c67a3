"""Explain what became of a message, in one plain sentence that support staff can pass on."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType

from smsapp.messages.status import BAD_NEWS, Outcome, Status
from smsapp.times import rfc3339
from smsapp.twilio.error_codes import OWN_FAILURES, Failure, FailureClass, OwnCode

_SENTENCES: Mapping[Status, str] = MappingProxyType(
    {
        Status.PENDING: "The message waits to be handed to Twilio.",
        Status.SUBMITTING: "The message is being handed to Twilio.",
        Status.UNCONFIRMED: "Twilio's answer was lost; whether it took the message is being found out.",
        Status.ACCEPTED: "Twilio took the message and is choosing a sender.",
        Status.SCHEDULED: "Twilio holds the message until its time.",
        Status.QUEUED: "Twilio has the message in its queue.",
        Status.SENDING: "Twilio is handing the message to the carrier.",
        Status.SENT: "The carrier took the message; it has not reported on the phone yet.",
        Status.PARTIALLY_DELIVERED: "Some parts of the message reached the phone; of the others nothing is known yet.",
        Status.CANCELED: "The message was canceled before it was sent.",
        Status.FAILED: "The message was not sent.",
        Status.UNDELIVERED: "The carrier reports that the message did not reach the phone.",
        Status.DELIVERED: "The carrier confirms that the message reached the phone.",
        Status.READ: "The recipient opened the message.",
    }
)


_WAITS_UNTRIED = frozenset(
    {OwnCode.QUIET_HOURS, OwnCode.DAILY_CAP, OwnCode.COUNTRY_CAP, OwnCode.COUNTRY_PARKED}
)
_EXPLAINED = BAD_NEWS | {Status.PENDING}


def explain_status(status: Status, outcome: Outcome | None, failure: Failure | None) -> str:
    """Return one sentence that explains the status, with the reason of a failure if there is one."""
    if outcome is Outcome.UNCONFIRMED:
        if status is Status.UNCONFIRMED:
            return "Twilio's answer was lost and its records do not show the message; it may or may not have gone out."
        if status is Status.PARTIALLY_DELIVERED:
            return "Some parts of the message reached the phone; nobody ever said whether the others did."
        taker = "The carrier" if status is Status.SENT else "Twilio"
        return f"{taker} took the message but never said whether it reached the phone."
    if failure is None:
        return _SENTENCES[status]
    return f"{_opening(status, failure)} {failure.sentence}" if status in _EXPLAINED else _SENTENCES[status]


def explain_parked(reason: str, until: datetime) -> str:
    """Return what a message waits for whose account or sender is parked, tried before or not, in plain words."""
    return f"The message waits: sending is parked at least until {rfc3339(until)}. {reason}"


def _opening(status: Status, failure: Failure) -> str:
    if status is Status.PENDING:
        return (
            "The message waits."
            if failure.code in _WAITS_UNTRIED
            else "The message waits for another attempt."
        )
    if (
        status is Status.FAILED
        and failure.code in OWN_FAILURES
        and failure.failure_class is FailureClass.AMBIGUOUS
    ):
        return "The message was given up."  # not "was not sent": nobody knows
    return _SENTENCES[status]
