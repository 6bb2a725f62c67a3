"""Choose one of several senders for a recipient: always the same one."""

import math
from collections.abc import Sequence
from hashlib import blake2b

from smsapp.config import Settings
from smsapp.limits import Paces
from smsapp.recipients.identity import identity


def sender_for(
    settings: Settings, recipient: str, sender: str | None, service: str | None
) -> tuple[str | None, str | None]:
    """Return the sender and Messaging Service that the request names, else the configured ones for this recipient."""
    if sender or service:
        return sender, service
    if settings.twilio_messaging_service_sid:
        return None, settings.twilio_messaging_service_sid
    return choose_sender(settings.twilio_phone_number, recipient, settings.paces), None


def choose_sender(pool: Sequence[str], recipient: str, paces: Paces) -> str:
    """Return the recipient's sender: the same one for as long as that is in the pool.

    Weighted rendezvous hashing: each sender draws a number from its name and the recipient's, and the best wins.
    Nothing has to be stored or looked up. A sender that joins takes over only its own share of the recipients, and one
    that leaves gives up only its own. If all senders have a pace, their shares are in proportion to it.
    """
    if len(pool) == 1:
        return pool[0]
    rates = [paces.rate(sender) for sender in pool]
    weights = [rate or 1.0 for rate in rates] if all(rates) else [1.0] * len(pool)
    phone = identity(recipient)
    return max(zip(pool, weights, strict=True), key=lambda item: _draw(item[0], phone, item[1]))[0]


def _draw(sender: str, recipient: str, weight: float) -> float:
    digest = blake2b(f"{sender} {recipient}".encode(), digest_size=7).digest()
    uniform = (int.from_bytes(digest) + 1) / (2**56 + 1)  # never 0 or 1
    return -weight / math.log(uniform)
