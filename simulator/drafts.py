"""Parse a create request and check it as Twilio does."""

import mimetypes
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from urllib.parse import urlsplit

from simulator.content import Form, check_content, first, flag
from simulator.errors import TwilioError

MAX_VALIDITY_S = 36_000  # https://www.twilio.com/docs/messaging/api/message-resource
MAX_SCHEDULE_AHEAD = timedelta(days=35)  # https://www.twilio.com/docs/messaging/features/message-scheduling

# https://www.twilio.com/docs/iam/test-credentials
MAGIC_SENDER = "+15005550006"
MAGIC_PREFIX = "+1500555000"
MAGIC_FROM = MappingProxyType({"+15005550001": 21212, "+15005550007": 21606, "+15005550008": 21611})
MAGIC_TO = MappingProxyType(
    {
        "+15005550001": 21211,
        "+15005550002": 21612,
        "+15005550003": 21408,
        "+15005550004": 21610,
        "+15005550009": 21614,
    }
)

_E164 = re.compile(r"(?:whatsapp:|rcs:)?\+[1-9]\d{6,14}")
_SENDER = re.compile(r"(?:whatsapp:|rcs:)?\+[1-9]\d{6,14}|\d{3,8}|(?=.*[A-Za-z])[A-Za-z0-9 _&+-]{1,11}")
_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")

CHANNELS = frozenset({"whatsapp", "rcs"})


@dataclass(frozen=True, slots=True)
class Media:
    """One attachment of a message. `url` is its source; blank for media that the simulator invents."""

    url: str
    content_type: str


@dataclass(frozen=True, slots=True)
class Draft:
    """A create that Twilio could accept. `from_` is None when a Messaging Service picks the sender."""

    to: str
    from_: str | None
    messaging_service_sid: str | None
    body: str
    media: tuple[Media, ...]
    status_callback: str | None
    send_at: datetime | None
    as_mms: bool = False


def parse_draft(form: Form, senders: Sequence[str], *, now: datetime, schedule_min: timedelta) -> Draft:
    """Return the message that a create asks for; without `senders` any well-formed sender is allowed.

    Raises:
        TwilioError: with Twilio's code for the fault.
    """
    to, from_ = first(form, "To"), first(form, "From")
    service = first(form, "MessagingServiceSid")
    if not to:
        raise TwilioError(21604)
    if not (from_ or service):
        raise TwilioError(21603)
    media = tuple(Media(url, _content_type(url)) for url in form.get("MediaUrl", ()))
    body = check_content(form, len(media))
    if service and not _SERVICE.fullmatch(service):
        raise TwilioError(21705)
    if from_:
        _check_sender(from_, senders)
    _check_recipient(to, from_)
    _check_validity(first(form, "ValidityPeriod"))
    return Draft(
        to=to,
        from_=from_ or None,
        messaging_service_sid=service or None,
        body=body,
        media=media,
        status_callback=_check_callback(first(form, "StatusCallback")),
        # Without a Messaging Service Twilio ignores the schedule and sends at once.
        send_at=_parse_schedule(form, now=now, at_least=schedule_min) if service else None,
        as_mms=bool(media) or flag(form, "SendAsMms"),
    )


def _content_type(url: str) -> str:
    """Guess the content type that Twilio would get if it fetched the URL."""
    return mimetypes.guess_type(url.partition("?")[0])[0] or "application/octet-stream"


def kind_of(sender: str) -> str:
    """Return the kind of a well-formed sender: `number`, `whatsapp`, `rcs`, `short code` or `name`."""
    channel, colon, _ = sender.partition(":")
    if colon:
        return channel
    if sender.startswith("+"):
        return "number"
    return "short code" if sender.isdecimal() else "name"


def _check_sender(from_: str, senders: Sequence[str]) -> None:
    """Refuse a sender that the account does not have: one that is not listed, although others of its kind are."""
    if from_ in MAGIC_FROM:
        raise TwilioError(MAGIC_FROM[from_])
    if not _SENDER.fullmatch(from_):
        raise TwilioError(21212)
    if from_ == MAGIC_SENDER:
        return
    kind = kind_of(from_)
    of_its_kind = [sender for sender in senders if kind_of(sender) == kind]
    if from_.startswith(MAGIC_PREFIX) or (of_its_kind and from_ not in of_its_kind):
        code = 63007 if kind in CHANNELS else 21606
        raise TwilioError(
            code, hint=f"The account's senders of this kind: {', '.join(of_its_kind) or 'none'}."
        )


def _check_recipient(to: str, from_: str) -> None:
    if to in MAGIC_TO:
        raise TwilioError(MAGIC_TO[to])
    if not _E164.fullmatch(to):
        raise TwilioError(21211)
    if to == from_:
        raise TwilioError(21266)


def _check_validity(text: str) -> None:
    if text and not (text.isdecimal() and 1 <= int(text) <= MAX_VALIDITY_S):
        raise TwilioError(21624)


def _check_callback(url: str) -> str | None:
    """Return the callback URL, None when there is none; Twilio takes no underscore in the host name."""
    if not url:
        return None
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise TwilioError(21609) from None
    if parts.scheme not in {"http", "https"} or not host or "_" in host:
        raise TwilioError(21609)
    return url


def _parse_schedule(form: Form, *, now: datetime, at_least: timedelta) -> datetime | None:
    schedule_type, send_at = first(form, "ScheduleType"), first(form, "SendAt")
    if not (schedule_type or send_at):
        return None
    if schedule_type != "fixed":
        raise TwilioError(35126)
    try:
        at = datetime.fromisoformat(send_at)
    except ValueError:
        raise TwilioError(35111) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    # Times carry whole seconds, so one computed as "in 15 minutes" may fall short by less than one.
    if not at_least - timedelta(seconds=1) <= at - now <= MAX_SCHEDULE_AHEAD:
        raise TwilioError(35114)
    return at
