"""Which inbound texts ask for something: to stop, to start again, or for help. The table is in docs/opt-outs.md.

STOP is matched generously, since a mistake costs one text that is not sent. START is matched strictly, since a mistake
sends a text to somebody who does not want it, and Twilio accepts only its own words for it.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import StrEnum

from smsapp.limits import is_toll_free
from smsapp.text import normalize


@dataclass(frozen=True, slots=True)
class WordList:
    """A published list of words that ask to stop."""

    words: tuple[str, ...]
    where: str
    source: str


STOP_LISTS = (
    WordList(
        ("STOP", "STOPALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT", "REVOKE", "OPTOUT"),
        "Twilio's default",
        "https://www.twilio.com/docs/messaging/tutorials/advanced-opt-out",
    ),
    WordList(
        ("STOP", "QUIT", "END", "REVOKE", "OPT OUT", "CANCEL", "UNSUBSCRIBE"),
        "United States: words that revoke consent by 47 CFR 64.1200(a)(10), in force since April 2025",
        "https://bankingjournal.aba.com/2024/02/fcc-clarifies-right-to-revoke-consent-for-autodialed-calls",
    ),
    WordList(
        ("STOP", "ARRET", "END", "QUIT", "CANCEL", "UNSUBSCRIBE", "UNSUB"),
        "Canada: mandatory for short codes, and their equivalents",
        "https://support.twilio.com/hc/en-us/articles/223181928",
    ),
    WordList(
        ("ARRET", "ARRETE", "ARRETT"),
        "French, as Twilio Proxy knows it",
        "https://www.twilio.com/docs/proxy/opt-out-keywords",
    ),
    WordList(
        ("ALTO",),
        "Spanish in the United States: mandatory for short codes",
        "https://www.twilio.com/help/faq/short-codes/what-are-the-requirements-for-a-spanish-language-short-code",
    ),
    WordList(
        ("BAJA",),
        "Spain: code of conduct of premium SMS",
        "https://www.elperiodicoextremadura.com/noticias/economia/vigor-norma-sms-sorteos-descargas_478630.html",
    ),
    WordList(
        ("SAIR",),
        "Brazil: Anatel's word against advertisements",
        "https://link.estadao.com.br/noticias/geral,publicidade-via-sms-podera-ser-bloqueada,10000035375",
    ),
    WordList(
        ("UNSUB",),
        "Norway",
        "https://help.brevo.com/hc/en-us/articles/115001945670",
    ),
    WordList(
        ("ARRET", "CANCEL", "END", "OPT-OUT", "OPTOUT", "QUIT", "REMOVE", "STOP", "TD", "UNSUBSCRIBE"),
        "AWS, for the United States and Canada",
        "https://docs.aws.amazon.com/sms-voice/latest/userguide/keywords-required.html",
    ),
    WordList(
        ("STOP", "STOPALL", "STOP ALL", "UNSUBSCRIBE", "CANCEL", "END", "QUIT"),
        "Telnyx",
        "https://developers.telnyx.com/docs/messaging/messages/advanced-opt-in-out",
    ),
)

_NO_LETTERS = re.compile(r"[\W_]+")
_START_WORDS = frozenset({"START", "UNSTOP", "YES"})
_TOLL_FREE_START_WORDS = frozenset({"START", "UNSTOP"})
"""The network keeps opt-outs of toll-free numbers, and knows only these
(https://support.twilio.com/hc/en-us/articles/360058144374)."""

_HELP_WORDS = frozenset({"HELP", "INFO", "AIDE", "AYUDA"})


class Keyword(StrEnum):
    """What an inbound text asks for, in the words of Twilio's `OptOutType`."""

    STOP = "STOP"
    START = "START"
    HELP = "HELP"


def keyword_of(body: str, opt_out_type: str | None, *, to: str = "") -> Keyword | None:
    """Return what a text to this sender of ours asks for, or None if it is no keyword.

    With Advanced Opt-Out the account has keywords of its own, and `OptOutType` is Twilio's reading of them. Without it
    Twilio matches a text that is one keyword and nothing else, in any case; we also accept a STOP with punctuation,
    quotes or accents, in two words, or repeated.
    """
    if opt_out_type in set(Keyword) and opt_out_type != Keyword.START:
        return Keyword(opt_out_type)
    if opt_out_type == Keyword.START or body.strip().upper() in _START_WORDS:
        return Keyword.START if _starts_again(body, to) else None
    if _is_stop(body):
        return Keyword.STOP
    return Keyword.HELP if body.strip().upper() in _HELP_WORDS else None


def _starts_again(body: str, to: str) -> bool:
    return not is_toll_free(to) or body.strip().upper() in _TOLL_FREE_START_WORDS


def _is_stop(body: str) -> bool:
    words = _words(body)
    return bool(words) and ("".join(words) in _STOP_WORDS or _STOP_WORDS.issuperset(words))


def _words(text: str) -> list[str]:
    """Return the words of a text, in upper case and without accents."""
    plain = unicodedata.normalize("NFKD", normalize(text)).upper()
    letters = "".join(character for character in plain if not unicodedata.combining(character))
    return [word for word in _NO_LETTERS.split(letters) if word]


_STOP_WORDS = frozenset("".join(_words(word)) for each in STOP_LISTS for word in each.words)
