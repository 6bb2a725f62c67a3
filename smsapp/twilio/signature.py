"""Twilio's request signature: who may change a message's status.

Algorithm: https://www.twilio.com/docs/usage/security. The official validator is the authority; before it runs, its most
common case (the exact URL, a form body) is computed here at a fifth of the cost. This accepts nothing that the
validator would refuse, except that the validator normalizes a URL first (`/status?` becomes `/status`), and here the
URL as requested is accepted as well; a differential test checks that. Not supported, on purpose: JSON bodies
(`bodySHA256`), which Twilio does not use for messages, and SharedKey signatures (HMAC-SHA256), whose secret we are not
given. The header that announces those is not signed, so it may never choose how a request is checked.

Parameters are signed in order, and the official libraries disagree on it: Python's compares code points, Node's (and
Java's) UTF-16 code units, in which U+1F600 comes before U+FF01. Twilio does not say how it sorts, so both orders count.
"""

import base64
import hmac
import re
from collections.abc import Iterator, Sequence
from hashlib import sha1
from urllib.parse import urlsplit, urlunsplit

from twilio.request_validator import RequestValidator

from smsapp.twilio.forms import Form


class _InCodeUnits(str):
    """A text that is sorted by UTF-16 code units; equal texts stay equal."""

    __slots__ = ()

    def __lt__(self, other: str) -> bool:
        return self.encode("utf-16-be") < other.encode("utf-16-be")


class _Parameters:
    """The form as the official validator wants it: repeated names kept, and sorted as `kind` is."""

    def __init__(self, form: Form, kind: type[str] = str) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in form:
            self._values.setdefault(kind(name), []).append(kind(value))

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getlist(self, name: str) -> list[str]:
        return self._values[name]


_SHAPE = re.compile(r"[A-Za-z0-9+/]{27}=")
"""SHA-1's 20 bytes in base64."""


class SignatureVerifier:
    """Checks callbacks against every currently valid token: token rotation must not lose a single callback."""

    def __init__(self, base_url: str, tokens: Sequence[str]) -> None:
        self._base = _signed_base(base_url)
        self._keys = [token.encode() for token in tokens]
        self._validators = [RequestValidator(token) for token in tokens]

    def verify(self, raw_target: str, form: Form, signature: str) -> bool:
        """Return whether Twilio signed this form for this request target.

        Args:
            raw_target: path and query exactly as requested, percent-escapes untouched, beginning with a slash.
            form: all parameters, also unknown ones.
            signature: the X-Twilio-Signature header.
        """
        url = self._base + raw_target.partition("#")[0]
        fields = dict(form)
        if len(fields) == len(form):
            text = (url + "".join([name + fields[name] for name in sorted(fields)])).encode()
            for key in self._keys:
                expected = base64.b64encode(hmac.digest(key, text, sha1)).decode()
                if _same(expected, signature):
                    return True
        orders = [_Parameters(form)]
        if any(max(name + value, default="") > "\uffff" for name, value in form):
            orders.append(_Parameters(form, _InCodeUnits))
        return any(
            _same(validator.compute_signature(url, parameters), signature)
            or validator.validate(url, parameters, signature)
            for validator in self._validators
            for parameters in orders
        )


def sign(base_url: str, token: str, raw_target: str, form: Form) -> str:
    """Return the signature that Twilio sends with this form to this target below our address."""
    url = _signed_base(base_url) + raw_target
    return str(RequestValidator(token).compute_signature(url, _Parameters(form)))


def looks_like_one(signature: str) -> bool:
    """Return whether a header can be a signature at all, which costs a thousandth of checking it."""
    return _SHAPE.fullmatch(signature) is not None


def _signed_base(base_url: str) -> str:
    parts = urlsplit(base_url)
    host = parts.netloc.rpartition("@")[2]  # userinfo is not signed, and the validator mishandles it
    return urlunsplit((parts.scheme, host, parts.path, "", ""))


def _same(expected: str, signature: str) -> bool:
    return hmac.compare_digest(expected.encode(), signature.encode())
