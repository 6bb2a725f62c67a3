"""Twilio's request signature: who may change a message's status.

Algorithm: https://www.twilio.com/docs/usage/security. The official validator is the authority; before it runs, its most
common case (the exact URL, a form body) is computed here at a fifth of the cost. This accepts nothing that the
validator would refuse, except that the validator normalizes a URL first (`/status?` becomes `/status`), and here the
URL as requested is accepted as well; a differential test checks that. Not supported, on purpose: JSON bodies
(`bodySHA256`), which Twilio does not use for messages, and SharedKey signatures (HMAC-SHA256), whose secret we are not
given. The header that announces those is not signed, so it may never choose how a request is checked.
"""

import base64
import hmac
from collections.abc import Iterator, Sequence
from hashlib import sha1
from urllib.parse import urlsplit, urlunsplit

from twilio.request_validator import RequestValidator

from smsapp.twilio.forms import Form


class _Parameters:
    """The form as the official validator wants it: repeated names kept."""

    def __init__(self, form: Form) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in form:
            self._values.setdefault(name, []).append(value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def getlist(self, name: str) -> list[str]:
        return self._values[name]


class SignatureVerifier:
    """Checks callbacks against every currently valid token: token rotation must not lose a single callback."""

    def __init__(self, base_url: str, tokens: Sequence[str]) -> None:
        parts = urlsplit(base_url)
        host = parts.netloc.rpartition("@")[2]  # userinfo is not signed, and the validator mishandles it
        self._base = urlunsplit((parts.scheme, host, parts.path, "", ""))
        self._keys = [token.encode() for token in tokens]
        self._validators = [RequestValidator(token) for token in tokens]

    def verify(self, raw_target: str, form: Form, signature: str) -> bool:
        """Return whether Twilio signed this form for this request target.

        Args:
            raw_target: path and query exactly as requested, percent-escapes untouched (gunicorn's RAW_URI).
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
        parameters = _Parameters(form)
        return any(
            _same(validator.compute_signature(url, parameters), signature)
            or validator.validate(url, parameters, signature)
            for validator in self._validators
        )


def _same(expected: str, signature: str) -> bool:
    return hmac.compare_digest(expected.encode(), signature.encode())
