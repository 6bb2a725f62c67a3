"""What is kept of a refused callback, and what it tells an operator: no numbers and no text.

A refused request is a stranger's until it is proved to be Twilio's: its host, its path and the names of its parameters
may hold anything, so only what looks like a host, a path of ours and Twilio's names is kept.
"""

import hashlib
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime

from smsapp.ids import parse_target
from smsapp.twilio.diagnose import SignedAddress

_HOST = re.compile(r"[A-Za-z0-9.-]{1,253}(?::\d{1,5})?", re.ASCII)
_LONG_NUMBER = re.compile(r"\d{7}", re.ASCII)
_NAME = re.compile(r"[A-Z][A-Za-z]{1,31}\d{0,2}", re.ASCII)
_MAX_NAMES = 60
HIDDEN = "…"
"""Stands for what is not kept."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Requests that were refused alike; the fields are those of the table."""

    kind: str
    reason: str
    path: str
    scheme: str
    host: str
    parameters: Sequence[str]
    account: str
    signed: SignedAddress | None = None

    def fingerprint(self, now: datetime) -> str:
        """Return what all requests have in common that were refused alike on this day."""
        return hashlib.sha256(repr((now.date().isoformat(), self)).encode()).hexdigest()


def plain_path(path: str, raw_target: str) -> str:
    """Return a callback's path with the message that it names if it is an id of ours; a query is only hinted at."""
    head, slash, target = path.rpartition("/")
    known = target in {"status", "inbound", "check"} or parse_target(target)
    return f"{head}{slash}{target if known else HIDDEN}{'?' + HIDDEN if '?' in raw_target else ''}"


def plain_host(host: str) -> str:
    """Return the Host field if it can be a host and has no number in it that could be a phone's."""
    return host.lower() if _HOST.fullmatch(host) and not _LONG_NUMBER.search(host) else HIDDEN


def plain_names(names: Collection[str]) -> list[str]:
    """Return the names that look like Twilio's, sorted; one mark stands for all others."""
    known = sorted({name for name in names if _NAME.fullmatch(name)})[:_MAX_NAMES]
    return known + [HIDDEN] * (len(set(names)) > len(known))


def advice(reason: str, account: str, signed_url: str | None, differs: Collection[str]) -> str:
    """Return in words why requests were refused, and what would have made them pass."""
    if signed_url:
        parts = " and ".join(differs)
        return (
            f"Twilio signed {signed_url}, which differs from ours in {parts}. Set APP_BASE_URL to what Twilio calls, "
            "or have the proxy pass path and query as they came."
        )
    if reason == "signature_invalid" and account == "other":
        return (
            "It names another account, whose token signed it if it is Twilio's. Do TWILIO_ACCOUNT_SID and "
            "TWILIO_AUTH_TOKEN belong together?"
        )
    return _ADVICE.get(reason, "The request is not what Twilio sends.")


_ADVICE = {
    "account_unknown": "Our token signed it, for an account that is not ours: list it in TWILIO_SUBACCOUNT_SIDS, or "
    "find out who uses the token.",
    "signature_missing": "Somebody other than Twilio, or a proxy that drops X-Twilio-Signature.",
    "signature_invalid": "No address that we can guess and no token in TWILIO_AUTH_TOKEN fits. Is the token the "
    "account's primary one? Else a proxy changed the body, or somebody forged it.",
    "unsupported_media_type": "The body is no form: a proxy changed it, or the webhook is set to something else.",
    "too_large": "The body is larger than what Twilio sends about messages.",
}
