"""Rules of suppressions: sources, evidence, and how evidence changes the state.

Everything here is pure. Twilio keeps its own opt-outs and refuses messages to them with code 21610, but offers no list,
so we keep our own record: https://support.twilio.com/hc/en-us/articles/223134027.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from smsapp.recipients.phone import InvalidPhoneNumber, parse_recipient

EVERY_SENDER = "*"
"""The scope of a suppression for all senders; only an operator adds or lifts one."""

OPTED_OUT_AT_TWILIO = 21610

_RCS = "rcs:"
_SERVICE_CHARS = 34


class OptOutSource(StrEnum):
    """Where evidence comes from."""

    INBOUND = "inbound"  # the recipient texted a keyword
    TWILIO = "twilio"  # it refused a message with 21610
    OPERATOR = "operator"
    IMPORT = "import"


@dataclass(frozen=True, slots=True)
class OptOutEvidence:
    """One piece of evidence: these senders must not text the recipient, or may again.

    `scopes` are numbers, Messaging Services or EVERY_SENDER. `at` is the time of receipt by our clock, not of
    processing. `reference` is the text or message that shows it, `api_key_id` the key of the request that asked for it.
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
    """Return whether a scope is a Messaging Service; senders are shorter than its SID."""
    return len(scope) == _SERVICE_CHARS and scope.startswith("MG")


def recipient_key(address: str) -> str:
    """Return the canonical form of a recipient; an RCS address becomes its phone number.

    Since March 2026 an opt-out spans SMS, MMS and RCS of a sender. An address that is not a phone number is returned
    unchanged.
    """
    bare = address.removeprefix(_RCS)
    try:
        return parse_recipient(bare).e164
    except InvalidPhoneNumber:
        return bare


def overrides(evidence: OptOutEvidence, *, suppressed: bool, at: datetime) -> bool:
    """Return whether evidence replaces the state known since `at`.

    The latest evidence wins, whatever the order of arrival: a late or repeated STOP does not undo a newer START. At
    equal times the STOP wins.
    """
    return evidence.at > at or (evidence.at == at and evidence.suppressed and not suppressed)
