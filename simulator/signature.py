"""X-Twilio-Signature, computed by our own code so that smsapp's check is tested against a second opinion.

The algorithm: https://www.twilio.com/docs/usage/security
"""

import base64
import hmac
from collections.abc import Iterable
from urllib.parse import urlsplit


def sign(auth_token: str, url: str, params: Iterable[tuple[str, str]]) -> str:
    """Return the signature of a form POST to `url`; for a GET or a JSON body `params` is empty.

    Names sort by bytes; of a repeated name each distinct value counts once, in order. Blank values take part.
    """
    text = url + "".join(name + value for name, value in sorted(set(params)))
    return base64.b64encode(hmac.digest(auth_token.encode(), text.encode(), "sha1")).decode()


def url_to_sign(url: str) -> str:
    """Return the URL as Twilio signs it: without fragment and userinfo, with an explicit port kept."""
    address = url.partition("#")[0]
    # Cut from the text, since parsing and joining a URL need not restore the same bytes.
    return address.replace(urlsplit(address).netloc, urlsplit(address).netloc.rpartition("@")[2], 1)
