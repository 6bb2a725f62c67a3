"""The address of Redis, read once and for every client.

redis-py, kombu and Flower read a Redis URL each in its own way: `ssl_cert_reqs=CERT_NONE` breaks the first, `unix://`
the second, and without an option the second does not check certificates. So no client gets the URL: each gets its
arguments from the value here, and what would not work in every process is refused before any of them starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, unquote

from smsapp.servers.urls import split_url

_REDIS_PORT = 6379
_DATABASE = "db"
_VERIFY = "ssl_cert_reqs"
_CHECK_HOST = "ssl_check_hostname"
_AUTHORITY, _CERTIFICATE, _KEY = "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"
_FILES = (_AUTHORITY, _CERTIFICATE, _KEY)
_TLS_OPTIONS = frozenset({_VERIFY, _CHECK_HOST, *_FILES})
_REDIS_OPTIONS = _TLS_OPTIONS | {_DATABASE}

_VERIFIES: Mapping[str, str] = {
    "required": "required",
    "cert_required": "required",
    "optional": "required",  # a client makes no difference (https://docs.python.org/3/library/ssl.html#ssl.CERT_OPTIONAL)
    "cert_optional": "required",
    "none": "none",
    "cert_none": "none",
}
"""Both spellings that people know: redis-py's, and Celery's with `CERT_` before it."""

_BOOLEANS: Mapping[str, bool] = {
    **dict.fromkeys(("1", "t", "true", "y", "yes", "on"), True),
    **dict.fromkeys(("0", "f", "false", "n", "no", "off"), False),
}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    """Where Redis is, and how to speak to it. `path` is a Unix socket's; then `host` and `port` mean nothing.

    `tls` is None without TLS, else redis-py's arguments, which kombu and Flower pass on to it.
    """

    host: str = "localhost"
    port: int = _REDIS_PORT
    path: str = ""
    database: int = 0
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: Mapping[str, str | bool] | None = None

    def client_options(self) -> dict[str, Any]:
        """Return the arguments of `redis.Redis`."""
        where: dict[str, Any] = {"host": self.host, "port": self.port}
        if self.path:
            where = {"unix_socket_path": self.path}
        elif self.tls is not None:
            where |= {"ssl": True, **self.tls}
        return {**where, "db": self.database, "username": self.username, "password": self.password}

    def broker_options(self) -> dict[str, Any]:
        """Return Celery's settings of the broker, for workers, beat, Flower and whoever publishes."""
        name = ":".join(quote(part or "", safe="") for part in (self.username, self.password))
        user = f"{name}@" if self.username or self.password else ""
        if self.path:
            return {"broker_url": f"redis+socket://{user}{quote(self.path)}?virtual_host={self.database}"}
        host = f"[{self.host}]" if ":" in self.host else self.host
        place = f"{user}{host}:{self.port}/{self.database}"
        if self.tls is None:
            return {"broker_url": f"redis://{place}"}
        return {"broker_url": f"rediss://{place}", "broker_use_ssl": dict(self.tls)}


def parse_redis_url(value: str) -> RedisAddress:
    """Read `redis://`, `rediss://` (TLS) or `unix://`.

    Raises:
        ValueError: a process could not use it; the text says why, and repeats nothing, since it may hold a password.
    """
    if not value.startswith(("redis://", "rediss://", "unix://")):
        raise ValueError("must begin with redis://, rediss:// or unix://")
    parts = split_url(value)
    if parts.fragment:
        raise ValueError("must not contain #: in a password it is written %23")
    options = _options(parts.query, _REDIS_OPTIONS, "timeouts and the like are set by smsapp")
    where = _socket(parts, options) if parts.scheme == "unix" else _host(parts, options)
    where |= {
        "username": unquote(parts.username or "") or None,
        "password": unquote(parts.password or "") or None,
    }
    if parts.scheme == "rediss":
        return RedisAddress(**where, tls=_tls(options))
    if options.keys() & _TLS_OPTIONS:
        raise ValueError("has ssl_ options, which need rediss://")
    return RedisAddress(**where)


def _socket(parts: SplitResult, options: Mapping[str, str]) -> dict[str, Any]:
    if parts.hostname or not parts.path.strip("/"):
        raise ValueError("must name a socket by its whole path, with three slashes: unix:///run/redis.sock")
    return {"path": unquote(parts.path), "database": _number(options.get(_DATABASE, "0"))}


def _host(parts: SplitResult, options: Mapping[str, str]) -> dict[str, Any]:
    host = unquote(parts.hostname or "") or "localhost"
    if not all(letter.isalnum() or letter in "-._:%" for letter in host):
        raise ValueError("must name one host by its name or address")
    path = unquote(parts.path.removeprefix("/"))
    if path and path != options.get(_DATABASE, path):
        raise ValueError("names two databases")
    database = _number(options.get(_DATABASE, path or "0"))
    return {"host": host, "port": parts.port or _REDIS_PORT, "database": database}


def _number(database: str) -> int:
    if not (database.isascii() and database.isdecimal()):
        raise ValueError("must name its database by a number, such as redis://localhost:6379/0")
    return int(database)


def _tls(options: Mapping[str, str]) -> dict[str, str | bool]:
    """Return redis-py's arguments: certificate and host name are checked unless the URL says otherwise."""
    verify = _VERIFIES.get(options.get(_VERIFY, "required").lower())
    if verify is None:
        raise ValueError(f"{_VERIFY} must be required or none")
    check_host = _BOOLEANS.get(options.get(_CHECK_HOST, "true").lower())
    if check_host is None:
        raise ValueError(f"{_CHECK_HOST} must be true or false")
    files = {name: options[name] for name in _FILES if name in options}
    _load(files)
    return {_VERIFY: verify, _CHECK_HOST: check_host and verify != "none", **files}


def _load(files: Mapping[str, str]) -> None:
    """Read the certificates once, as the clients will: a wrong path is to show at the start."""
    if not files:
        return
    import ssl  # noqa: PLC0415 - most commands need no TLS

    if _KEY in files and _CERTIFICATE not in files:
        raise ValueError(f"has {_KEY} without {_CERTIFICATE}")
    context = ssl.create_default_context()
    try:
        if _AUTHORITY in files:
            context.load_verify_locations(files[_AUTHORITY])
    except (OSError, ValueError):
        raise ValueError(f"{_AUTHORITY} must name a file of certificates (PEM) that can be read") from None
    try:
        if _CERTIFICATE in files:
            context.load_cert_chain(files[_CERTIFICATE], files.get(_KEY), password="")
    except (OSError, ValueError):
        raise ValueError(
            f"{_CERTIFICATE} and {_KEY} must name a certificate and its key (PEM) without a password"
        ) from None


def _options(query: str, known: frozenset[str], note: str) -> dict[str, str]:
    pairs = parse_qsl(query, keep_blank_values=True)
    options = dict(pairs)
    if not options.keys() <= known:
        raise ValueError(f"takes no options but {', '.join(sorted(known))}: {note}")
    if len(options) < len(pairs):
        raise ValueError("has an option twice")
    return options
