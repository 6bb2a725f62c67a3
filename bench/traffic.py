"""Ready-made requests: signed status callbacks as Twilio sends them, and sends. Numbers name messages, from 0."""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Iterable, Mapping
from enum import StrEnum
from urllib.parse import urlsplit
from uuid import UUID, uuid4

from bench.load import Unit

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "bench-auth-token"
SENDER = "+15005550006"
STEPS = ("sent", "delivered")

_TOKEN = AUTH_TOKEN.encode()

_FIRST_MS = 0x019B0000_0000  # December 2025: any time will do, as long as ids grow with it
_PER_MS = 4
_NUMBERS = 8_000_000 - 1


class Address(StrEnum):
    """How a callback names its message: by the id in its path, as the service asks for, or by its SID alone."""

    ID = "id"
    SID = "sid"


def sid_of(number: int) -> str:
    """Return the SID of a message: `'SM' || md5('bench' || number)`."""
    return "SM" + hashlib.md5(b"bench%d" % number, usedforsecurity=False).hexdigest()


def message_id_of(number: int) -> UUID:
    """Return the id of a message: a UUIDv7 (RFC 9562), in the order of numbers as real ones are in that of time."""
    noise = int.from_bytes(hashlib.md5(b"id%d" % number, usedforsecurity=False).digest()[:8]) >> 2
    return UUID(
        int=(_FIRST_MS + number // _PER_MS) << 80 | 7 << 76 | (number % _PER_MS) << 64 | 2 << 62 | noise
    )


def recipient_of(number: int) -> str:
    """Return a phone number that is possible in North America."""
    return f"+1415{2_000_000 + number % _NUMBERS:07d}"


def callback_path(number: int, address: Address) -> str:
    """Return where the callbacks of a message go."""
    return f"/twilio/status/msg_{message_id_of(number).hex}" if address is Address.ID else "/twilio/status"


def callback(address: str, host: str, path: str, *, sid: str, status: str, to: str) -> bytes:
    """Return one callback as it goes over the wire, signed for `address`, the URL that Twilio was given.

    The signature covers the URL and the parameters by name (https://www.twilio.com/docs/usage/security).
    """
    signed = (
        f"{address}AccountSid{ACCOUNT_SID}ApiVersion2010-04-01From{SENDER}MessageSid{sid}MessageStatus{status}"
        f"SmsSid{sid}SmsStatus{status}To{to}"
    )
    signature = b64encode(hmac.digest(_TOKEN, signed.encode(), "sha1")).decode()
    body = (
        f"SmsSid={sid}&SmsStatus={status}&MessageStatus={status}&To=%2B{to[1:]}&MessageSid={sid}"
        f"&AccountSid={ACCOUNT_SID}&From=%2B{SENDER[1:]}&ApiVersion=2010-04-01"
    )
    return (
        f"POST {path} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: TwilioProxy/1.1\r\nAccept: */*\r\n"
        f"Content-Type: application/x-www-form-urlencoded; charset=UTF-8\r\nContent-Length: {len(body)}\r\n"
        f"X-Twilio-Signature: {signature}\r\nI-Twilio-Idempotency-Token: {uuid4()}\r\n"
        f"Connection: keep-alive\r\n\r\n{body}"
    ).encode()


def callbacks(base_url: str, numbers: Iterable[int], address: Address) -> list[Unit]:
    """Return the callbacks of each message, in order."""
    host = urlsplit(base_url).netloc
    units: list[Unit] = []
    for number in numbers:
        path, sid, to = callback_path(number, address), sid_of(number), recipient_of(number)
        units.append([callback(base_url + path, host, path, sid=sid, status=step, to=to) for step in STEPS])
    return units


def sends(base_url: str, numbers: Iterable[int], headers: Mapping[str, str]) -> list[Unit]:
    """Return one request to send per number, each with a text of its own."""
    host = urlsplit(base_url).netloc
    extra = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    units: list[Unit] = []
    for number in numbers:
        body = f'{{"to":"{recipient_of(number)}","body":"Your code is {number}."}}'
        head = (
            f"POST /sms/send HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nAccept: application/json\r\n{extra}Connection: keep-alive\r\n\r\n"
        )
        units.append([(head + body).encode()])
    return units
