"""Send ourselves a callback, signed as Twilio signs it, through the public address, and explain in words what fails.

It goes to `/twilio/check`, which is verified like any callback and answered with 204, and nothing else happens: no
message is looked for, nothing is stored.
"""

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

import orjson
import urllib3
from sqlalchemy.exc import SQLAlchemyError
from urllib3 import exceptions as http

from smsapp.db.sessions import reading
from smsapp.refusals import queries as refusals
from smsapp.refusals.rules import advice
from smsapp.runtime import Runtime
from smsapp.twilio.signature import sign

TARGET = "/twilio/check"
_TIMEOUT_S = 5.0
_LOOK_FOR_S = 3.0
_AGENT = "smsapp-doctor"


class Diagnosis(NamedTuple):
    """What is wrong with the public address, and how to fix it."""

    fault: str
    remedy: str


class _Answer(NamedTuple):
    status: int
    code: str
    headers: Mapping[str, str]


def check_callbacks(rt: Runtime) -> Diagnosis | None:
    """Return why a callback of Twilio's would not arrive, or None if it would."""
    base = rt.settings.app_base_url
    form = [("AccountSid", rt.settings.twilio_account_sid)]
    try:
        signed = _post(base, form, sign(base, rt.settings.auth_tokens[0], TARGET, form))
        if signed.status != 204:
            return _explained(rt, base, signed)
        unsigned = _post(base, form, None)
    except http.HTTPError as error:
        return _unreached(base, error)
    if (unsigned.status, unsigned.code) != (403, "signature_missing"):
        return Diagnosis(
            f"{base}{TARGET} answers 204 to anything, signed or not",
            "APP_BASE_URL leads to another program, or a proxy answers in our place.",
        )
    return None


def _post(base: str, form: list[tuple[str, str]], signature: str | None) -> _Answer:
    headers = {"Content-Type": "application/x-www-form-urlencoded", "User-Agent": _AGENT}
    if signature:
        headers["X-Twilio-Signature"] = signature
    pool = urllib3.PoolManager(timeout=_TIMEOUT_S, retries=False)
    answer = pool.request("POST", base + TARGET, body=urlencode(form), headers=headers, redirect=False)
    return _Answer(answer.status, _code_of(answer.data), answer.headers)


def _code_of(body: bytes) -> str:
    """Return the code of a problem document of ours; empty for any other answer."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    code = document.get("code") if isinstance(document, dict) else None
    return code if isinstance(code, str) else ""


def _unreached(base: str, error: http.HTTPError) -> Diagnosis:
    host = urlsplit(base).hostname
    causes = list(_causes(error))
    certificate = next((each for each in causes if isinstance(each, ssl.SSLCertVerificationError)), None)
    if certificate:
        return Diagnosis(
            f"the certificate of {host} is not one to trust: {certificate.verify_message}",
            "Twilio refuses it, too (error 11237): install a certificate for this name, with its whole chain.",
        )
    if any(isinstance(each, (ssl.SSLError, http.SSLError)) for each in causes):
        return Diagnosis(
            f"{host} speaks no TLS that we understand", "Is APP_BASE_URL https although the port serves http?"
        )
    if any(isinstance(each, (socket.gaierror, http.NameResolutionError)) for each in causes):
        return Diagnosis(f"the DNS knows no {host}", "Correct APP_BASE_URL, or add the name to the DNS.")
    if any(isinstance(each, ConnectionRefusedError) for each in causes):
        return Diagnosis(
            f"{base}: the connection is refused", "Is the web process or its proxy up, and the port right?"
        )
    if any(isinstance(each, (http.TimeoutError, TimeoutError)) for each in causes):
        return Diagnosis(
            f"{base} does not answer within {_TIMEOUT_S:.0f} s",
            "A firewall drops the packets, or the proxy does not reach the web process.",
        )
    return Diagnosis(f"{base} does not answer ({type(error).__name__})", "Is it a web server's address?")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        reason = getattr(error, "reason", None)
        error = reason if isinstance(reason, BaseException) else error.__cause__ or error.__context__


def _explained(rt: Runtime, base: str, answer: _Answer) -> Diagnosis:
    told = f"{base}{TARGET} answers {answer.status}" + (f" ({answer.code})" if answer.code else "")
    if answer.status in {301, 302, 303, 307, 308}:
        to = answer.headers.get("Location", "nowhere")
        return Diagnosis(f"{told}: it redirects to {to}", _REDIRECTED)
    if answer.code == "signature_invalid":
        return Diagnosis(told, _why_refused(rt) or _SIGNATURE_INVALID)
    remedy = _OURS.get((answer.status, answer.code)) or _BY_STATUS.get(answer.status)
    if remedy is None:
        remedy = "The proxy does not reach the web process." if answer.status >= 500 else _ANOTHER
    return Diagnosis(told, remedy)


def _why_refused(rt: Runtime) -> str | None:
    """Return what the web process found out about the check that it refused, once it has written it down."""
    since = rt.clock() - timedelta(seconds=_TIMEOUT_S * 2)
    ends_at = time.monotonic() + _LOOK_FOR_S
    while time.monotonic() < ends_at:
        try:
            with reading(rt.sessions) as session:
                found = refusals.since(session, since, kind="check")
        except SQLAlchemyError:
            return None
        for each in found:
            if each.signed_url:
                return advice(each.reason, each.account, each.signed_url, each.differs or ())
        if found:
            return None
        time.sleep(0.1)  # nobody tells us when the other process has written
    return None


_REDIRECTED = (
    "Twilio's signature is of the address that it called first: set APP_BASE_URL to the one that answers."
)
_ANOTHER = "APP_BASE_URL leads to another program, or a proxy answers in our place."
_SIGNATURE_INVALID = (
    "The web process checks another address or token: does it run with the same APP_BASE_URL and TWILIO_AUTH_TOKEN, "
    "and does the proxy pass path and query as they came? `GET /sms/callbacks/refused` has more."
)
_OURS = {
    (403, "signature_missing"): "A proxy drops the header X-Twilio-Signature: have it pass all headers.",
    (403, "account_unknown"): "The web process runs with another TWILIO_ACCOUNT_SID.",
    (
        404,
        "not_found",
    ): "It is smsapp, but the proxy changed the path: `/twilio/…` must arrive as just that. A prefix "
    "in APP_BASE_URL is for the proxy to cut.",
    (
        405,
        "method_not_allowed",
    ): "It is smsapp, but the proxy made another method of POST: it redirects inside.",
    (415, "unsupported_media_type"): "A proxy changes or drops Content-Type.",
    (503, "unavailable"): "Neither Redis nor the database answers the web process.",
}
_BY_STATUS = {
    401: "A proxy asks for a login: let `/twilio/` pass without one; the signature protects it.",
    403: "A proxy or firewall refuses it: let POST requests to `/twilio/` pass.",
    404: "Nothing is at this path: APP_BASE_URL leads to another program, or the proxy passes only other paths.",
    405: "The proxy or another program takes no POST there.",
    413: "The proxy takes only small bodies: allow 64 KiB.",
    415: "A proxy or another program takes no forms there.",
    429: "A proxy limits the rate: let `/twilio/` pass, Twilio calls in bursts.",
    502: "The proxy does not reach the web process: is it up, and on the port that the proxy names?",
    504: "The proxy waits for the web process in vain: is it up?",
}
