"""Which inbound texts ask for something: to stop, to start again, or for help."""

from enum import StrEnum

_STOP_WORDS = frozenset({"STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"})


_START_WORDS = frozenset({"START", "UNSTOP", "YES"})


_HELP_WORDS = frozenset({"HELP", "INFO"})


class Keyword(StrEnum):
    """What an inbound text asks for, in the words of Twilio's `OptOutType`."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


def keyword_of(body: str, opt_out_type: str | None) -> Keyword | None:
    """Return what a text asks for, or None for any other text.

    Twilio matches a text that is one keyword and nothing else, in any case; with Advanced Opt-Out the account has
    words of its own, and `OptOutType` says what Twilio made of them.
    """
    if opt_out_type in set(Keyword):
        return Keyword(opt_out_type)
    word = body.strip().upper()
    if word in _STOP_WORDS:
        return Keyword.STOP
    if word in _START_WORDS:
        return Keyword.START
    return Keyword.HELP if word in _HELP_WORDS else None
