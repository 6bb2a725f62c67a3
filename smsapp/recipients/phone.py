"""Phone numbers and sender IDs: checked and brought to one form at the edge, masked for people's eyes.

One form matters because suppression, rate limits and reconciliation all look a recipient up by this string.
The numbering plans are those of `phonenumbers` (Google's libphonenumber); it loads a country's plan at that
country's first number, so the first call per country is slower by milliseconds.
"""

import re
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import phonenumbers
from phonenumbers import NumberParseException, PhoneNumberFormat, ValidationResult

PhoneProblem = Literal["not_e164", "unknown_country_code", "too_short", "too_long", "not_possible"]
SenderProblem = PhoneProblem | Literal["not_a_sender"]

WHATSAPP = "whatsapp:"  # the one channel prefix that Twilio puts before a phone number

# How people write numbers, with the no-break space and the hyphens that word processors put in.
_SEPARATED_BY = " .()\u00a0\u2010\u2011\u2013-"
_SEPARATORS = str.maketrans("", "", _SEPARATED_BY)
ADDRESS = rf"\s*(whatsapp:)?[{_SEPARATED_BY}]*\+[0-9{_SEPARATED_BY}]+\s*"
SENDER = rf"\s*[0-9]{{3,8}}\s*|\s*[0-9 &+_-]*[A-Za-z][A-Za-z0-9 &+_-]*\s*|{ADDRESS}"
"""What recipients and senders look like, as regular expressions of any dialect: necessary, but not enough."""

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

PHONE_FAULTS = MappingProxyType(
    {
        "not_e164": "must be in E.164 form: a plus sign, the country code and the number, such as +14155552671",
        "unknown_country_code": "begins with a country code that does not exist",
        "too_short": "is too short for a phone number of its country",
        "too_long": "is too long for a phone number of its country",
    }
)
"""What people are told, by the reason of `InvalidPhoneNumber`; any other is not a possible phone number."""


class InvalidPhoneNumber(ValueError):
    """No phone can have this number; `reason` says why in one word for machines."""

    def __init__(self, reason: PhoneProblem) -> None:
        super().__init__(reason)
        self.reason: PhoneProblem = reason


class InvalidSender(ValueError):
    """Twilio knows no such kind of sender; `reason` is that of the number, or "not_a_sender"."""

    def __init__(self, reason: SenderProblem) -> None:
        super().__init__(reason)
        self.reason: SenderProblem = reason


@dataclass(frozen=True, slots=True)
class Recipient:
    """Where a message goes, in the one form we store."""

    e164: str  # plus and digits; a WhatsApp address keeps its prefix: whatsapp:+14155552671
    region: str | None  # ISO 3166-1 alpha-2; None for numbers of no country, such as +800, or of none we know
    valid: bool  # False: the length is right but the plan has no such number; worth a warning, not a refusal

    @property
    def country(self) -> str:
        """Return the region, or plus and three digits where there is none: satellites, and numbers no plan knows."""
        return self.region or _without_prefix(self.e164)[1][:4]


def parse_recipient(raw: str) -> Recipient:
    """Return the recipient that `raw` names: an international number with its plus sign.

    Spaces, dots, hyphens and parentheses are dropped, and so is a national trunk zero as in +44 (0) 7911.
    Plans change faster than any table, so only an impossible length or country code is refused.

    Raises:
        InvalidPhoneNumber: not a number with a plus sign, or one that no phone can have.
    """
    prefix, text = _without_prefix(raw.strip())
    number = _parse(text)
    region = phonenumbers.region_code_for_number(number)
    # With the region at hand this costs half of is_valid_number(), which would look it up again.
    valid = region is not None and phonenumbers.is_valid_number_for_region(number, region)
    e164 = prefix + phonenumbers.format_number(number, PhoneNumberFormat.E164)
    if not valid and e164 != raw:
        return parse_recipient(e164)  # an odd number can lose one more trunk zero each time it is read
    return Recipient(
        e164=e164,
        region=None if region == phonenumbers.REGION_CODE_FOR_NON_GEO_ENTITY else region,
        valid=valid,
    )


def address(to: str, sender: str | None) -> str:
    """Return the recipient as Twilio wants it with this sender: both on WhatsApp, or as it is.

    Source: https://www.twilio.com/docs/messaging/api/message-resource, whose To and From are of one channel.
    """
    if sender and sender.startswith(WHATSAPP) and not to.startswith(WHATSAPP):
        return WHATSAPP + to
    return to


def parse_sender(raw: str) -> str:
    """Return the sender in the form Twilio takes as From: E.164 number, short code or alphanumeric sender ID.

    Source for the last: https://www.twilio.com/docs/messaging/api/alphasender-resource (up to 11 of A-Z, a-z,
    0-9, space, + - _ &, and not digits alone). That the account owns the sender, only Twilio can tell.

    Raises:
        InvalidSender: none of the three.
    """
    text = raw.strip()
    if _SHORT_CODE.fullmatch(text) or _ALPHANUMERIC.fullmatch(text):
        return text
    prefix, text = _without_prefix(text)
    if not text.startswith("+"):
        raise InvalidSender("not_a_sender")
    try:
        return prefix + phonenumbers.format_number(_parse(text), PhoneNumberFormat.E164)
    except InvalidPhoneNumber as error:
        raise InvalidSender(error.reason) from error


def mask(number: str) -> str:
    """Return the number fit for logs and screens: +15005550006 → +1******0006.

    Takes anything, also what failed to parse. At most the first two and last four characters stay, never more
    than half; a WhatsApp prefix is no secret and does not count.
    """
    prefix, text = _without_prefix(number)
    shown = min(len(text) // 2, 6)
    tail = min(shown, 4)
    head = shown - tail
    return prefix + text[:head] + "*" * (len(text) - shown) + text[len(text) - tail :]


def _without_prefix(text: str) -> tuple[str, str]:
    return (WHATSAPP, text[len(WHATSAPP) :]) if text.startswith(WHATSAPP) else ("", text)


def _parse(text: str) -> phonenumbers.PhoneNumber:
    """Parse strictly: the library alone would also take letters, extensions and tel: links."""
    compact = text.translate(_SEPARATORS)
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
