"""Which phones have told which senders to stop.

Twilio matches a message that consists of one keyword and nothing else, in any case:
https://support.twilio.com/hc/en-us/articles/223134027
"""

import re
from dataclasses import dataclass, field
from types import MappingProxyType

OPTED_OUT = 21610

# REVOKE and OPTOUT since May 2025.
STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS = frozenset({"START", "UNSTOP", "YES"})
_TOLL_FREE = re.compile(r"\+18(?:00|33|44|55|66|77|88)[0-9]{7}")
_TOLL_FREE_START_WORDS = frozenset({"START", "UNSTOP"})
HELP_WORDS = frozenset({"HELP", "INFO"})
REPLIES = MappingProxyType(
    {
        "STOP": "You have successfully been unsubscribed. You will not receive any more messages from this number. "
        "Reply START to resubscribe.",
        "START": "You have successfully been re-subscribed to messages from this number. Reply HELP for help. "
        "Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
        "HELP": "Reply STOP to unsubscribe. Msg&Data Rates May Apply.",
    }
)
"""Twilio's own replies, sent before the webhook is called and whatever it answers."""


def keyword_of(body: str, opt_out_type: str = "", *, to: str = "") -> str:
    """Return STOP, START, HELP or nothing; `opt_out_type` is Advanced Opt-Out's reading of the account's keywords.

    For a toll-free number the network keeps the opt-outs, and accepts only two words that lift one:
    https://support.twilio.com/hc/en-us/articles/360058144374
    """
    word = body.strip().upper()
    kinds = {"STOP": STOP_WORDS, "START": START_WORDS, "HELP": HELP_WORDS}
    kind = opt_out_type or next((kind for kind, words in kinds.items() if word in words), "")
    return "" if kind == "START" and _TOLL_FREE.fullmatch(to) and word not in _TOLL_FREE_START_WORDS else kind


@dataclass(slots=True)
class OptOuts:
    """Opt-outs hold for a sender, and for the whole Messaging Service that the message came in by."""

    _blocked: set[tuple[str, str]] = field(default_factory=set)

    def hear(self, keyword: str, *, phone: str, senders: tuple[str, ...]) -> None:
        """Record that a phone tells these senders to stop or to start again."""
        pairs = {(sender, phone) for sender in senders if sender}
        if keyword == "STOP":
            self._blocked |= pairs
        elif keyword == "START":
            self._blocked -= pairs

    def block(self, phone: str, *senders: str | None) -> bool:
        """Return whether the phone has stopped any of these."""
        return any((sender, phone) in self._blocked for sender in senders)

    def clear(self) -> None:
        """Forget every opt-out."""
        self._blocked.clear()
