"""Requests that the service makes to you: signed by Standard Webhooks (https://www.standardwebhooks.com)."""

import base64
import binascii
import hashlib
import hmac
import json
import time
from collections.abc import Mapping

from smsapp_client.errors import InvalidSignature
from smsapp_client.models import Event

TOLERANCE_S = 300
"""How old, or how far ahead, a request may be; the value of the Standard Webhooks libraries."""


def verify(
    body: bytes, headers: Mapping[str, str], secret: str, *, tolerance_s: float = TOLERANCE_S
) -> Event:
    """Return the event of a request once its signature fits the body as it came.

    Args:
        body: the bytes as they came; parsed and written anew they would not fit.
        headers: the request's; upper and lower case do not matter.
        secret: the subscription's, `whsec_…`.
        tolerance_s: seconds that the request's clock may differ from ours.

    Raises:
        InvalidSignature: it is not the service's, or was captured and sent again later.
    """
    given = {name.lower(): value for name, value in headers.items()}
    try:
        event_id, sent_at = given["webhook-id"], given["webhook-timestamp"]
        signatures = given["webhook-signature"].split()
        age_s = abs(time.time() - int(sent_at))
    except (KeyError, ValueError):
        raise InvalidSignature("a header of the signature is missing or unreadable") from None
    expected = _sign(secret, f"{event_id}.{sent_at}.".encode() + body)
    if not any(hmac.compare_digest(expected, signature.encode()) for signature in signatures):
        raise InvalidSignature("no signature fits")
    if age_s > tolerance_s:
        raise InvalidSignature("the request is too old, or from the future")
    return Event.from_document(json.loads(body))


def _sign(secret: str, signed: bytes) -> bytes:
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except binascii.Error:
        raise InvalidSignature("the secret is not one: it is whsec_ and Base64") from None
    return b"v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256))
