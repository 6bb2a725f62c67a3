"""Who told which sender to stop.

Twilio matches a message that consists of one keyword and nothing else, in any case:
https://support.twilio.com/hc/en-us/articles/223134027
"""

from dataclasses import dataclass, field

# REVOKE and OPTOUT since May 2025.
STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})
START_WORDS = frozenset({"START", "UNSTOP", "YES"})


@dataclass(slots=True)
class OptOuts:
    """Opt-outs hold for a sender, and for the whole Messaging Service that the message came in by."""

    _blocked: set[tuple[str, str]] = field(default_factory=set)

    def hear(self, body: str, *, phone: str, senders: tuple[str, ...], opt_out_type: str = "") -> None:
        """Take note when a phone tells these senders to stop or to start again.

        `opt_out_type` is what Advanced Opt-Out made of a keyword of the account's own.
        """
        word = body.strip().upper()
        pairs = {(sender, phone) for sender in senders if sender}
        if word in STOP_WORDS or opt_out_type == "STOP":
            self._blocked |= pairs
        elif word in START_WORDS or opt_out_type == "START":
            self._blocked -= pairs

    def block(self, phone: str, *senders: str | None) -> bool:
        """Return whether the phone has stopped any of these."""
        return any((sender, phone) in self._blocked for sender in senders)

    def clear(self) -> None:
        """Forget every opt-out."""
        self._blocked.clear()
