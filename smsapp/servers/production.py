"""What a production service must not run with (`ENV=production`), setting by setting: pure checks of values.

Each check returns None, or what is wrong and its remedy in one sentence that repeats nothing of the value.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from pydantic import SecretStr

from smsapp.servers.redis_address import parse_redis_url

LEAST_TOKEN = 32
"""Characters of a Twilio auth token (https://www.twilio.com/docs/iam/api/authtoken: 32, all hexadecimal)."""

LEAST_PASSWORD = 16
"""Characters: 16 hexadecimal ones are 64 bits, and what `openssl rand -hex 24` prints has 48."""

Others = Mapping[str, Any]

_LEAST_DISTINCT = 6
"""Characters that differ: a random secret of 32 hexadecimal digits has fewer in one of 10^12 cases."""

_LEAST_NAME = 6
"""Letters of a name that no random secret contains by accident."""

_EXAMPLES = re.compile(
    r"change.?(me|it)|example|replace|placeholder|your.?(auth|token|pass|secret)|secret|passw|default|admin"
    r"|dummy|sample|insert|simulator|smsapp|postgres|redis|qwert|letmein|xxxxx|123456",
    re.IGNORECASE,
)
_LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_OTHER_PROOFS = frozenset({"passfile", "service", "sslcert", "krbsrvname", "oauth_client_id"})
"""libpq's options by which a client proves who it is without a password in the URL."""


def _account_sid(value: str, _others: Others) -> str | None:
    """The examples' and the simulator's repeats one digit."""
    if len(set(value[2:])) == 1:
        return "is an example; copy your account's from https://console.twilio.com"
    return None


def _auth_tokens(values: Iterable[SecretStr], _others: Others) -> str | None:
    """Anybody who knows one can forge callbacks."""
    for token in values:
        if fault := _weakness(token.get_secret_value(), least=LEAST_TOKEN):
            return f"{fault}; copy your account's from https://console.twilio.com"
    return None


def _database_url(value: str, _others: Others) -> str | None:
    """Everything is in there."""
    if value.startswith("sqlite"):
        return None  # whether it can serve is seen at REDIS_URL
    parts = urlsplit(value)
    options = parse_qs(parts.query)
    password = options.get("password", [""])[-1] or unquote(parts.password or "")  # as SQLAlchemy has it
    user = options.get("user", [""])[-1] or unquote(parts.username or "")
    host = options.get("host", [""])[-1] or unquote(parts.hostname or "")
    if not password:
        if not host or host.startswith(("/", "@")) or options.keys() & _OTHER_PROOFS:
            return None  # a socket, whose file says who may, or another proof
        return (
            "has no password; give the user one (`openssl rand -hex 24`), or name a passfile with ?passfile="
        )
    return _password_fault(password, known=(user, host, parts.path.strip("/")))


def _redis_url(value: str, others: Others) -> str | None:
    """Whoever reaches it reads callbacks and gives workers tasks; on another host it tells of several machines."""
    address = parse_redis_url(value)
    faults: list[str | None] = []
    is_here = address.path or address.host in _LOCAL_HOSTS
    if not is_here and str(others.get("database_url", "")).startswith("sqlite"):
        faults.append(
            "names another host while DATABASE_URL is SQLite's, which serves one machine; use postgresql:// there"
        )
    if address.password:
        faults.append(_password_fault(address.password, known=(address.username or "",)))
    elif not address.path and "ssl_certfile" not in (address.tls or {}):  # a socket's file says who may
        faults.append(
            "has no password; set `requirepass` (`openssl rand -hex 24`) and write redis://:PASSWORD@HOST"
        )
    return "; it ".join(filter(None, faults)) or None


def _app_base_url(value: str, _others: Others) -> str | None:
    """Texts and keys come to it, in clear without TLS."""
    return None if _is_https(value) else "is plain http; put a proxy with TLS in front and write https://"


def _twilio_api_base_url(value: str, _others: Others) -> str | None:
    """The account's token goes there with every request."""
    return (
        None
        if _is_https(value)
        else "is plain http, and gets the auth token; write https://, or leave it out"
    )


def _log_level(value: str, _others: Others) -> str | None:
    """At DEBUG libraries tell what they are given."""
    return "tells too much; set INFO, or leave it out" if value == "DEBUG" else None


CHECKS: Mapping[str, Callable[[Any, Others], str | None]] = {
    "database_url": _database_url,
    "redis_url": _redis_url,
    "app_base_url": _app_base_url,
    "twilio_account_sid": _account_sid,
    "twilio_auth_token": _auth_tokens,
    "twilio_api_base_url": _twilio_api_base_url,
    "log_level": _log_level,
}
"""By the setting that each looks at; each is given its value, and the valid ones of the settings before it."""


def _password_fault(password: str, *, known: Iterable[str]) -> str | None:
    fault = _weakness(password, least=LEAST_PASSWORD, known=known)
    return fault and f"has a password that {fault}; change it to what `openssl rand -hex 24` prints"


def _weakness(secret: str, *, least: int, known: Iterable[str] = ()) -> str | None:
    if len(secret) < least:
        return f"is shorter than {least} characters"
    if len(set(secret)) < _LEAST_DISTINCT or _EXAMPLES.search(secret):
        return "is an example"
    if any(len(name) >= _LEAST_NAME and name.lower() in secret.lower() for name in known):
        return "contains a name of the URL"
    return None


def _is_https(url: str) -> bool:
    return url.lower().startswith("https://")
