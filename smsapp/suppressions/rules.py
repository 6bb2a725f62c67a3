"""Who does not want to hear from whom: the words people text, and what each piece of evidence changes.

Everything here is pure. Twilio keeps opt-outs of its own and refuses what they concern with code 21610, but lists them
nowhere, so this is our own record of them: https://support.twilio.com/hc/en-us/articles/223134027.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from smsapp.recipients.phone import InvalidPhoneNumber, parse_recipient

EVERY_SENDER = "*"
"""The scope of a suppression that holds for all senders; only an operator makes one, and only an operator lifts it."""

OPTED_OUT_AT_TWILIO = 21610

_RCS = "rcs:"
_SERVICE_CHARS = 34


class OptOutSource(StrEnum):
    """How we know."""

    INBOUND = "inbound"  # the recipient texted a keyword
    TWILIO = "twilio"  # it refused a message with 21610
    OPERATOR = "operator"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class OptOutEvidence:
    """One piece of evidence: a recipient is, or is no longer, to be spared by these senders.

    `scopes` are numbers, Messaging Services or EVERY_SENDER. `at` is when it was so, by our clock at receipt, not when
    it was processed. `reference` names the text or message that shows it, `api_key_id` whose request asked for it.
    """

    recipient: str
    scopes: Sequence[str]
    suppressed: bool
    source: OptOutSource
    at: datetime
    reference: str | None = None
    note: str | None = None
    api_key_id: UUID | None = None


def is_service(scope: str) -> bool:
    """Return whether a scope is a Messaging Service; no sender is as long."""
    return len(scope) == _SERVICE_CHARS and scope.startswith("MG")


def recipient_key(address: str) -> str:
    """Return the one form by which a recipient is looked up; an RCS address is its phone's.

    Since March 2026 an opt-out spans SMS, MMS and RCS of a sender. An address that is no phone number stays as it is.
    """
    bare = address.removeprefix(_RCS)
    try:
        return parse_recipient(bare).e164
    except InvalidPhoneNumber:
        return bare


def overrides(evidence: OptOutEvidence, *, suppressed: bool, at: datetime) -> bool:
    """Return whether evidence replaces what is known since `at`.

    The latest counts, whatever the order of arrival: a STOP that comes late, or twice, does not undo a newer START.
    At the same moment the one that spares the recipient does.
    """
    return evidence.at > at or (evidence.at == at and evidence.suppressed and not suppressed)
