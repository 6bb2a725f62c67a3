"""When a sensitive message's body is no longer needed, and when to retry a removal."""

from datetime import datetime, timedelta

from smsapp.messages.fold import MessageState
from smsapp.messages.status import FINAL, OURS
from smsapp.twilio.error_codes import OwnCode

_SOONEST, _LATEST = timedelta(seconds=5), timedelta(hours=1)
_GIVE_UP_WAITING = timedelta(days=7)

_PERHAPS_AT_TWILIO = frozenset({int(OwnCode.ANSWER_LOST), int(OwnCode.NOT_FOUND_AT_TWILIO)})


def is_spent(message: MessageState) -> bool:
    """Return whether the body is no longer needed: Twilio has it, or the message is final, and it will not be resent.

    Valid only between transactions: a message to be resent after a failure is pending by then.
    """
    if message.status in FINAL:
        return True
    return (
        message.status not in OURS
        and message.twilio_sid is not None
        and not (message.resends_left or message.steps_left)
    )


def is_erasable(message: MessageState) -> bool:
    """Return whether a message needs its recipient no more: it has an outcome, and will not be looked up by number."""
    return message.outcome is not None and message.status not in OURS


def is_settled_at_twilio(message: MessageState, now: datetime) -> bool:
    """Return whether Twilio may be asked to remove its copies: all are known, and none is in flight.

    For a message given up while unconfirmed, a callback may still bring the SID.
    """
    if message.outcome is None:
        return False
    unknown = message.twilio_sid is None and message.error_code in _PERHAPS_AT_TWILIO
    return not unknown or now - message.created_at > _GIVE_UP_WAITING


def look_again_at(message: MessageState, now: datetime) -> datetime:
    """Return when to try again: after a quarter of the message's age, from seconds to an hour."""
    age = now - (message.submitted_at or message.created_at)
    return now + min(max(age / 4, _SOONEST), _LATEST)
