"""Which of several senders a recipient hears from: always the same one."""

import math
from collections.abc import Sequence
from hashlib import blake2b

from smsapp.config import Settings
from smsapp.limits import Paces


def sender_for(
    settings: Settings, recipient: str, sender: str | None, service: str | None
) -> tuple[str | None, str | None]:
    """Return sender and Messaging Service as a request has them, else the configured ones for this recipient."""
    if sender or service:
        return sender, service
    if settings.twilio_messaging_service_sid:
        return None, settings.twilio_messaging_service_sid
    return choose_sender(settings.twilio_phone_number, recipient, settings.paces), None


def choose_sender(pool: Sequence[str], recipient: str, paces: Paces) -> str:
    """Return the recipient's sender: the same one for as long as that is in the pool.

    Weighted rendezvous hashing: each sender draws a number from its name and the recipient's, and the best wins. There
    is nothing to store or to look up, and a sender that joins takes only its own share of the recipients, one that
    leaves gives away only its own. Senders draw in proportion to their pace, if all have one.
    """
    if len(pool) == 1:
        return pool[0]
    rates = [paces.rate(sender) for sender in pool]
    weights = [rate or 1.0 for rate in rates] if all(rates) else [1.0] * len(pool)
    return max(zip(pool, weights, strict=True), key=lambda item: _draw(item[0], recipient, item[1]))[0]


def _draw(sender: str, recipient: str, weight: float) -> float:
    digest = blake2b(f"{sender} {recipient}".encode(), digest_size=7).digest()
    uniform = (int.from_bytes(digest) + 1) / (2**56 + 1)  # never 0 or 1
    return -weight / math.log(uniform)
