"""Phone numbers and sender IDs: validated and normalized at the edge, masked for display.

One form matters because suppression, rate limits and reconciliation all look a recipient up by this string. The
numbering plans come from `phonenumbers` (Google's libphonenumber), which loads a country's plan at that country's first
number, so the first call per country is slower by milliseconds.
"""

import re
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, PhoneNumberType, ValidationResult

from smsapp.text import normalize

PhoneProblem = Literal["not_e164", "unknown_country_code", "too_short", "too_long", "not_possible"]
SenderProblem = PhoneProblem | Literal["not_a_sender"]

WHATSAPP = "whatsapp:"  # Twilio's prefix for a phone number on WhatsApp
RCS = "rcs:"  # before the number of somebody who wrote by RCS; the same phone receives SMS

_UNSEEN = r" \t\r\n\u00a0\u00ad\u2000-\u200f\u202a-\u202f\u2060-\u2069\u3000\ufeff"
_SEPARATORS = (
    r"\-.()\[\]\/~\u00b7\u2010-\u2015\u2022\u2053\u2212\u223c\u30fb\u30fc\ufe58\ufe63\uff08\uff09"
    r"\uff0d-\uff0f\uff3b\uff3d\uff5e"
)
"""The separators that people and word processors put between digits: libphonenumber's punctuation without its `x`,
which covers E.123, DIN 5008, French and Japanese typography, and middle dots."""

_PLUS = r"+\uff0b"
_DIGITS = r"0-9\u0660-\u0669\u06f0-\u06f9\uff10-\uff19"
"""The digits of libphonenumber: ASCII, Arabic-Indic (two kinds) and fullwidth."""

ADDRESS = (
    rf"[{_UNSEEN}]*(whatsapp:|rcs:)?[{_UNSEEN}{_SEPARATORS}]*[{_PLUS}][{_DIGITS}{_UNSEEN}{_SEPARATORS}]+"
)
SENDER = rf"\s*[0-9]{{3,8}}\s*|\s*[0-9 &+_-]*[A-Za-z][A-Za-z0-9 &+_-]*\s*|{ADDRESS}"
"""Regular expressions that document recipients and senders for API clients. A match is not sufficient, and it is
necessary except for rarer invisible characters, which we drop anyway."""

_BETWEEN_DIGITS = re.compile(rf"[{_SEPARATORS} ]")
_TO_ASCII = {ord("\uff0b"): "+"} | {
    first + digit: str(digit) for first in (0x660, 0x6F0, 0xFF10) for digit in range(10)
}
_FORMER_MEXICO = re.compile(r"\+521([0-9]{10})")
"""Mexican mobile numbers had a 1 after the country code until 2019; Twilio requires them without
(https://www.twilio.com/en-us/guidelines/mx/sms), but still includes it in WhatsApp addresses."""

_PLUS_DIGITS = re.compile(r"\+[0-9]+")
_SHORT_CODE = re.compile(r"[0-9]{3,8}")
_ALPHANUMERIC = re.compile(r"(?=.*[A-Za-z])[A-Za-z0-9 &+_-]{1,11}")
_PARSE_PROBLEMS: dict[int, PhoneProblem] = {
    NumberParseException.INVALID_COUNTRY_CODE: "unknown_country_code",
    NumberParseException.NOT_A_NUMBER: "too_short",  # fewer than two digits after the plus
    NumberParseException.TOO_SHORT_AFTER_IDD: "too_short",
    NumberParseException.TOO_SHORT_NSN: "too_short",
    NumberParseException.TOO_LONG: "too_long",
}
_LENGTH_PROBLEMS: dict[int, PhoneProblem] = {
    ValidationResult.INVALID_COUNTRY_CODE: "unknown_country_code",
    ValidationResult.IS_POSSIBLE_LOCAL_ONLY: "too_short",  # lacks the area code
    ValidationResult.TOO_SHORT: "too_short",
    ValidationResult.TOO_LONG: "too_long",
}

NumberKind = Literal["premium", "satellite", "international", "unassigned"]
"""Numbers that cost much or reach nobody; None in a `Recipient` for all others."""

_KIND_OF_CODE = MappingProxyType[int, NumberKind]({870: "satellite", 881: "satellite", 979: "premium"})
"""Inmarsat, satellite phones, premium rate of no country. Source: https://www.itu.int/pub/T-SP-E.164D"""

NUMBER_REFUSED = "number_type_refused"
"""The code of what is refused for its kind (`REFUSE_NUMBER_TYPES`)."""

KINDS_IN_WORDS = MappingProxyType[NumberKind, str](
    {
        "premium": "a premium-rate number",
        "satellite": "a satellite phone's number",
        "international": "a number of no country",
        "unassigned": "a number that its country's plan does not have",
    }
)

PHONE_FAULTS = MappingProxyType(
    {
        "not_e164": "must be in E.164 form: a plus sign, the country code and the number, such as +14155552671",
        "unknown_country_code": "begins with a country code that does not exist",
        "too_short": "is too short for a phone number of its country",
        "too_long": "is too long for a phone number of its country",
    }
)
"""Messages for people, by the reason of `InvalidPhoneNumber`; any other reason means an impossible phone number."""


class InvalidPhoneNumber(ValueError):
    """No phone can have this number; `reason` says why, for programs."""

    def __init__(self, reason: PhoneProblem) -> None:
        super().__init__(reason)
        self.reason: PhoneProblem = reason


class InvalidSender(ValueError):
    """Twilio has no such kind of sender; `reason` is that of the number, or "not_a_sender"."""

    def __init__(self, reason: SenderProblem) -> None:
        super().__init__(reason)
        self.reason: SenderProblem = reason


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message goes, in the one form that we store."""

    e164: str  # plus and digits; a WhatsApp address keeps its prefix: whatsapp:+14155552671
    region: str | None  # ISO 3166-1 alpha-2; None for numbers without a country (+800) or of an unknown one
    valid: bool  # False: the length fits but the plan has no such number; worth a warning, not a refusal
    kind: NumberKind | None = field(default=None, compare=False)  # follows from the number

    @property
    def country(self) -> str:
        """Return the region, or plus and three digits where there is none: satellite and unknown numbers."""
        return self.region or split_address(self.e164)[1][:4]


def parse_recipient(raw: str) -> Recipient:
    """Return the recipient that `raw` names: an international number with its plus sign.

    Invisible characters and separators between digits are dropped, and so is a national trunk zero as in +44 (0) 7911.
    `rcs:` and Mexico's former 1 are dropped too, so that callers can reply to the address that we show of an inbound
    text. Plans change faster than any table, so only an impossible length or country code is refused.

    Raises:
        InvalidPhoneNumber: not a number with a plus sign, or one that no phone can have.
    """
    prefix, text = split_address(_in_one_line(raw))
    number = _parse(text if prefix else text.removeprefix(RCS))
    region = phonenumbers.region_code_for_number(number)
    sort = phonenumbers.number_type(number)
    valid = sort != PhoneNumberType.UNKNOWN
    e164 = prefix + phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not valid and e164 != raw:
        return parse_recipient(e164)  # an unusual number can lose one more trunk zero each time it is parsed
    return Recipient(
        e164=e164,
        region=None if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY else region,
        valid=valid,
        kind=_kind(number.country_code, region, sort),
    )


def _kind(code: int | None, region: str | None, sort: int) -> NumberKind | None:
    if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY:
        return _KIND_OF_CODE.get(code or 0, "international")
    if sort == PhoneNumberType.PREMIUM_RATE:
        return "premium"
    return "unassigned" if sort == PhoneNumberType.UNKNOWN else None


def address(to: str, sender: str | None) -> str:
    """Return the recipient as Twilio requires it with this sender: on WhatsApp if the sender is, else unchanged.

    Source: https://www.twilio.com/docs/messaging/api/message-resource, whose To and From are of one channel.
    """
    if sender and sender.startswith(WHATSAPP) and not to.startswith(WHATSAPP):
        return WHATSAPP + to
    return to


def parse_sender(raw: str) -> str:
    """Return the sender in the form Twilio accepts as From: E.164 number, short code or alphanumeric sender ID.

    Source for the last: https://www.twilio.com/docs/messaging/api/alphasender-resource (up to 11 of A-Z, a-z, 0-9,
    space, + - _ &, and not digits alone). Only Twilio can tell whether the account owns the sender.

    Raises:
        InvalidSender: none of the three.
    """
    try:
        text = _in_one_line(raw)
    except InvalidPhoneNumber:
        raise InvalidSender("not_a_sender") from None
    if _SHORT_CODE.fullmatch(text) or _ALPHANUMERIC.fullmatch(text):
        return text
    prefix, text = split_address(text)
    if not re.match(f"[{_PLUS}]", text):
        raise InvalidSender("not_a_sender")
    try:
        return prefix + phonenumbers.format_number(_parse(text), PhoneNumberFormat.E164)
    except InvalidPhoneNumber as error:
        raise InvalidSender(error.reason) from error


def mask(number: str) -> str:
    """Return the number fit for logs and screens: +15005550006 → +1******0006.

    Accepts any text, even one that failed to parse. At most the first two and last four characters stay, never more
    than half; a WhatsApp prefix is not secret and does not count.
    """
    prefix, text = split_address(number)
    shown = min(len(text) // 2, 6)
    tail = min(shown, 4)
    head = shown - tail
    return prefix + text[:head] + "*" * (len(text) - shown) + text[len(text) - tail :]


def split_address(text: str) -> tuple[str, str]:
    """Return the channel of an address, `whatsapp:` or nothing, and what is behind it."""
    return (WHATSAPP, text[len(WHATSAPP) :]) if text.startswith(WHATSAPP) else ("", text)


def _in_one_line(raw: str) -> str:
    """Return the text without invisible characters; more than one line is refused, since it may hold two numbers.

    Raises:
        InvalidPhoneNumber: it has more than one line.
    """
    text = normalize(raw).strip()
    if not raw.isprintable() and sum(bool(normalize(line).strip()) for line in raw.splitlines()) > 1:
        raise InvalidPhoneNumber("not_e164")
    return text


def _parse(text: str) -> phonenumbers.PhoneNumber:
    """Parse strictly: the library alone would also accept letters, extensions and tel: links."""
    compact = _FORMER_MEXICO.sub(r"+52\1", _BETWEEN_DIGITS.sub("", text).translate(_TO_ASCII))
    if not _PLUS_DIGITS.fullmatch(compact):
        raise InvalidPhoneNumber("not_e164")
    try:
        number = phonenumbers.parse(compact)
    except NumberParseException as error:
        raise InvalidPhoneNumber(_PARSE_PROBLEMS.get(error.error_type, "not_possible")) from error
    verdict = phonenumbers.is_possible_number_with_reason(number)
    if verdict != ValidationResult.IS_POSSIBLE:
        raise InvalidPhoneNumber(_LENGTH_PROBLEMS.get(verdict, "not_possible"))
    return number
