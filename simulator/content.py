"""What a create asks to send: text, media, or a Content template, and how Twilio treats it.

The simulator has no Content templates: any well-formed SID names one, and its text is its SID and its variables.
"""

import re
from hashlib import sha256

import orjson

from simulator.errors import TwilioError
from simulator.segments import GSM_BASIC, GSM_EXTENDED
from smsapp.twilio.smart_encoding import SMART_ENCODING

MAX_BODY_CHARACTERS = 1600  # https://www.twilio.com/docs/api/errors/21617
MAX_MEDIA = 10  # https://www.twilio.com/docs/api/errors/21623
MAX_VARIABLES = (
    100  # https://www.twilio.com/docs/content/send-templates-created-with-the-content-template-builder
)
MAX_VALUE_CHARACTERS = 1600  # https://www.twilio.com/docs/api/errors/21658

_CONTENT_SID = re.compile(r"HX[0-9a-fA-F]{32}")
_UNFIT = re.compile(r"[\n\t]| {5}")  # https://www.twilio.com/docs/api/errors/21656
_LINK = re.compile(r"https?://\S+")
_BOOLEANS = {"true": True, "false": False, "": False}

Form = dict[str, list[str]]


def first(form: Form, name: str) -> str:
    """Return a parameter's first value, blank when it is not there."""
    return form[name][0] if name in form else ""


def flag(form: Form, name: str) -> bool:
    """Return a boolean parameter, False when it is not there.

    Raises:
        TwilioError: it is no boolean. That Twilio's code for it is 20001 is not confirmed by any source.
    """
    value = first(form, name).lower()
    if value not in _BOOLEANS:
        raise TwilioError(20001)
    return _BOOLEANS[value]


def check_content(form: Form, num_media: int) -> str:
    """Return the text as it goes out and as reading the API shows it.

    Raises:
        TwilioError: with Twilio's code for the fault.
    """
    body, content_sid = first(form, "Body"), first(form, "ContentSid")
    if "ContentVariables" in form and not content_sid:
        raise TwilioError(21654)
    if not (body or num_media or content_sid):
        raise TwilioError(21602)
    if len(body) > MAX_BODY_CHARACTERS:
        raise TwilioError(21617)
    if num_media > MAX_MEDIA:
        raise TwilioError(21623)
    if first(form, "RiskCheck") not in {"", "enable", "disable"}:
        raise TwilioError(20001)
    # Twilio's documentation asks for the service; no source has the code of the refusal.
    if flag(form, "ShortenUrls") and "MessagingServiceSid" not in form:
        raise TwilioError(20001)
    if content_sid:
        return _fill(content_sid, _variables(form))
    shortened = _LINK.sub(_short_link, body) if flag(form, "ShortenUrls") else body
    return _smart_encode(shortened) if flag(form, "SmartEncoded") else shortened


def _variables(form: Form) -> dict[str, str]:
    try:
        found = orjson.loads(first(form, "ContentVariables") or "{}")
    except ValueError:
        raise TwilioError(21656) from None
    if not isinstance(found, dict) or len(found) > MAX_VARIABLES:
        raise TwilioError(21656)
    for value in found.values():
        if not isinstance(value, str) or not value or _UNFIT.search(value):
            raise TwilioError(21656)
        if len(value) > MAX_VALUE_CHARACTERS:
            raise TwilioError(21658)
    return found


def _fill(content_sid: str, variables: dict[str, str]) -> str:
    if not _CONTENT_SID.fullmatch(content_sid):
        raise TwilioError(21655)
    return " ".join([content_sid, *variables.values()])


def _short_link(found: re.Match[str]) -> str:
    return f"https://twil.io/{sha256(found[0].encode()).hexdigest()[:10]}"


def _smart_encode(body: str) -> str:
    """Replace what GSM-7 does not have, if afterwards it has all: https://www.twilio.com/docs/messaging/services."""
    encoded = body.translate(SMART_ENCODING)
    return encoded if set(encoded) <= GSM_BASIC | GSM_EXTENDED else body
