"""Find out which address Twilio signed when it was not ours: the reason why a callback was refused.

Nothing here accepts anything. It costs some hundred HMACs, so whoever calls it must do so seldom.
"""

import base64
import hmac
from collections.abc import Iterator, Sequence
from hashlib import sha1
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from smsapp.twilio.forms import Form

_DEFAULT_PORTS = ("443", "80")


class SeenRequest(NamedTuple):
    """A request as it arrived: its target, its Host field, and what a proxy says of the one that it got."""

    raw_target: str
    host: str = ""
    scheme: str = "http"
    forwarded_host: str = ""
    forwarded_port: str = ""
    forwarded_prefix: str = ""


class SignedAddress(NamedTuple):
    """The address that Twilio signed, without its query, and in what it differs from the one that we expected.

    `differs` has some of `scheme`, `host`, `port`, `path` and `query`.
    """

    url: str
    differs: tuple[str, ...]


class _Parts(NamedTuple):
    scheme: str
    host: str
    port: str
    path: str
    query: str

    def url(self) -> str:
        return f"{self.scheme}://{self.host}{self.port}{self.path}{self.query}"


def find_signed_address(
    request: SeenRequest, form: Form, signature: str, *, base_url: str, tokens: Sequence[str]
) -> SignedAddress | None:
    """Return the address for which the signature is right, the one that differs least; None if no guess fits.

    Then another token has signed it, parameters were changed under way, or somebody forged it.
    """
    expected = _expected(request, base_url)
    guesses = sorted(set(_guesses(request, expected)), key=lambda guess: len(_differs(expected, guess)))
    parameters = "".join(name + value for name, value in sorted(set(form)))
    keys = [token.encode() for token in tokens]
    for guess in guesses:
        text = (guess.url() + parameters).encode("utf-8", "replace")
        for key in keys:
            made = base64.b64encode(hmac.digest(key, text, sha1))
            if hmac.compare_digest(made, signature.encode("utf-8", "replace")):
                return SignedAddress(guess._replace(query="").url(), _differs(expected, guess))
    return None


def _expected(request: SeenRequest, base_url: str) -> _Parts:
    base = urlsplit(base_url)
    host, port = _host_and_port(base.netloc.rpartition("@")[2])
    path, mark, query = request.raw_target.partition("#")[0].partition("?")
    return _Parts(base.scheme, host, port, base.path + path, mark + query)


def _guesses(request: SeenRequest, expected: _Parts) -> Iterator[_Parts]:
    """Yield addresses that Twilio may have called: at most 2 schemes, 3 hosts, 6 ports, 10 paths and 2 queries."""
    named = [_host_and_port(text) for text in (request.host, request.forwarded_host) if text]
    hosts = dict.fromkeys([expected.host, *(host for host, _ in named)])
    ports = dict.fromkeys(
        ["", expected.port, *(port for _, port in named), *_ports(request.forwarded_port, *_DEFAULT_PORTS)]
    )
    for scheme in ("https", "http"):
        for host in hosts:
            for port in ports:
                for path in _paths(request, expected):
                    yield _Parts(scheme, host, port, path, expected.query)
                    yield _Parts(scheme, host, port, path, "")


def _paths(request: SeenRequest, expected: _Parts) -> dict[str, None]:
    """Return the paths that may have been called, of which a proxy cut or changed something."""
    came = request.raw_target.partition("#")[0].partition("?")[0]
    prefix = expected.path.removesuffix(came)
    paths = [expected.path, came, came.removeprefix(prefix), request.forwarded_prefix.rstrip("/") + came]
    paths += [unquote(path) for path in paths[:2]]
    paths += [path + "/" for path in paths[:2]] + [path.rstrip("/") for path in paths[:2]]
    return dict.fromkeys(paths)


def _differs(expected: _Parts, guess: _Parts) -> tuple[str, ...]:
    return tuple(
        name
        for name, wanted, guessed in zip(_Parts._fields, expected, guess, strict=True)
        if wanted != guessed
    )


def _host_and_port(authority: str) -> tuple[str, str]:
    """Return the host and its port with the colon, which is empty without one."""
    host, colon, port = authority.rpartition(":")
    return (host, f":{port}") if colon and port.isdecimal() else (authority, "")


def _ports(*numbers: str) -> list[str]:
    return [f":{number}" for number in numbers if number.isdecimal() and len(number) < 6]
