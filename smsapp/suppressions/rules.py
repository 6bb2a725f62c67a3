"""Rules of suppressions: sources, evidence, and how evidence changes the state.

Everything here is pure. Twilio keeps its own opt-outs and refuses messages to them with code 21610, but offers no list,
so we keep our own record: https://support.twilio.com/hc/en-us/articles/223134027.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from smsapp.recipients.identity import identity
from smsapp.recipients.phone import RCS, InvalidPhoneNumber, address, parse_recipient

EVERY_SENDER = "*"
"""The scope of a suppression for all senders; only an operator adds or lifts one."""

OPTED_OUT_AT_TWILIO = 21610

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

    `recipient` is the address as it arrived, in the form of `recipient_key`. `scopes` are numbers, Messaging Services
    or EVERY_SENDER. `at` is the time of receipt by our clock, not of processing. `reference` is the text or message
    that shows it, `api_key_id` the key of the request that asked for it.
    """

    recipient: str
    scopes: Sequence[str]
    suppressed: bool
    source: OptOutSource
    at: datetime
    reference: str | None = None
    note: str | None = None
    api_key_id: UUID | None = None

    def known_to(self, scope: str) -> str:
        """Return the recipient's key for the senders of a scope: one spelling, on their channel."""
        return identity(address(self.recipient, scope))


class Route(NamedTuple):
    """A message's recipient and sender."""

    to: str
    sender: str | None
    messaging_service_sid: str | None


def is_service(scope: str) -> bool:
    """Return whether a scope is a Messaging Service; senders are shorter than its SID."""
    return len(scope) == _SERVICE_CHARS and scope.startswith("MG")


def recipient_key(raw: str) -> str:
    """Return the canonical form of a recipient; an RCS address becomes its phone number.

    Since March 2026 an opt-out spans SMS, MMS and RCS of a sender. An address that is not a phone number is returned
    unchanged.
    """
    try:
        return parse_recipient(raw).e164
    except InvalidPhoneNumber:
        return raw.removeprefix(RCS)


def overrides(evidence: OptOutEvidence, *, suppressed: bool, at: datetime) -> bool:
    """Return whether evidence replaces the state known since `at`.

    The latest evidence wins, whatever the order of arrival: a late or repeated STOP does not undo a newer START. At
    equal times the STOP wins.
    """
    return evidence.at > at or (evidence.at == at and evidence.suppressed and not suppressed)
