"""Where Redis and the database are: every client hears the same, or no process starts."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from celery import Celery
from flower.utils.broker import Broker
from redis import Redis

from smsapp.queue.tasks import make_publisher
from smsapp.servers.database_url import parse_database_url
from smsapp.servers.redis_address import RedisAddress, parse_redis_url
from tests.support.certificates import OPENSSL, Authority

CHECKED: dict[str, str | bool] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True}
UNCHECKED: dict[str, str | bool] = {"ssl_cert_reqs": "none", "ssl_check_hostname": False}

ACCEPTED: dict[str, RedisAddress] = {
    "redis://h:6379/0": RedisAddress("h"),
    "redis://h": RedisAddress("h"),
    "redis://h/": RedisAddress("h"),
    "redis://": RedisAddress(),
    "redis:///3": RedisAddress(database=3),
    "redis://:6380/1": RedisAddress(port=6380, database=1),
    "redis://h?db=2": RedisAddress("h", database=2),
    "redis://h/2?db=2": RedisAddress("h", database=2),
    "redis://[::1]:7000/4": RedisAddress("::1", 7000, database=4),
    "redis://a_b.example-1.com/0": RedisAddress("a_b.example-1.com"),
    "redis://:pw@h/0": RedisAddress("h", password="pw"),
    "redis://user:p%40%2F%3A%3B%23%25w@h:1/5": RedisAddress(
        "h", 1, database=5, username="user", password="p@/:;#%w"
    ),
    "redis://:a;b+c@h": RedisAddress("h", password="a;b+c"),  # kombu alone takes ; for the end of an address
    "unix:///run/redis.sock": RedisAddress(path="/run/redis.sock"),
    "unix://u:p%3B@/run/r.sock?db=3": RedisAddress(
        path="/run/r.sock", database=3, username="u", password="p;"
    ),
    "rediss://h": RedisAddress("h", tls=CHECKED),
    "rediss://:p@h/1?ssl_cert_reqs=required": RedisAddress("h", database=1, password="p", tls=CHECKED),
    "rediss://h?ssl_cert_reqs=CERT_REQUIRED": RedisAddress("h", tls=CHECKED),
    "rediss://h?ssl_cert_reqs=optional": RedisAddress("h", tls=CHECKED),
    "rediss://h?ssl_cert_reqs=none": RedisAddress("h", tls=UNCHECKED),
    "rediss://h?ssl_cert_reqs=CERT_NONE": RedisAddress("h", tls=UNCHECKED),
    "rediss://h?ssl_cert_reqs=None": RedisAddress("h", tls=UNCHECKED),
    "rediss://h?ssl_check_hostname=False": RedisAddress("h", tls=CHECKED | {"ssl_check_hostname": False}),
}

REFUSED: dict[str, str] = {
    "http://h": "must begin with",
    "redis+socket:///run/redis.sock": "must begin with",
    "sentinel://h": "must begin with",
    "redis://h:port": "is not a URL",
    "redis://:p/w@h": "is not a URL",
    "redis://h 1": "must not contain spaces",
    "redis://:12#3@h": "#",
    "redis://h1,h2": "one host",
    "redis://h1;redis://h2": "one host",
    "redis://h/zero": "by a number",
    "redis://h/1/5": "by a number",
    "redis://h/0/": "by a number",
    "redis://h?db=one": "by a number",
    "redis://h?db=": "by a number",
    "redis://h/²": "by a number",
    "redis://h/1?db=2": "two databases",
    "redis://h?db=1&db=2": "twice",
    "redis://h?socket_timeout=5": "takes no options but",
    "redis://h?protocol=3": "takes no options but",
    "redis://h?health_check_interval=5": "takes no options but",
    "redis://h?virtual_host=1": "takes no options but",
    "redis://h?ssl=true": "takes no options but",
    "redis://h?ssl_cert_reqs=none": "need rediss://",
    "unix:///run/redis.sock?ssl_cert_reqs=none": "need rediss://",
    "unix://run/redis.sock": "three slashes",
    "unix://": "three slashes",
    "unix:///run/redis.sock?virtual_host=1": "takes no options but",
    "rediss://h?ssl_cert_reqs=never": "must be required or none",
    "rediss://h?ssl_cert_reqs=": "must be required or none",
    "rediss://h?ssl_check_hostname=perhaps": "must be true or false",
    "rediss://h?ssl_ca_certs=/nowhere/ca.pem": "ssl_ca_certs must name a file",
    "rediss://h?ssl_ca_certs=": "ssl_ca_certs must name a file",
    "rediss://h?ssl_certfile=/nowhere/c.pem": "ssl_certfile and ssl_keyfile must name",
    "rediss://h?ssl_keyfile=/nowhere/k.pem": "without ssl_certfile",
}


@pytest.mark.parametrize(("url", "address"), ACCEPTED.items())
def test_an_address_of_redis_is_read(url: str, address: RedisAddress) -> None:
    assert parse_redis_url(url) == address


@pytest.mark.parametrize(("url", "reason"), REFUSED.items())
def test_what_a_process_could_not_use_is_refused_with_its_reason(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_redis_url(url)


def heard(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return of a connection's arguments what an address decides."""
    names = ("host", "port", "path", "db", "username", "password", "ssl_cert_reqs", "ssl_check_hostname")
    given = {name: arguments.get(name) for name in names}
    given["username"] = given["username"] or None
    if given["path"]:
        given["host"] = given["port"] = None
    return given


def expected(address: RedisAddress) -> dict[str, Any]:
    """Return what each client must hear."""
    return heard(
        {
            "host": address.host,
            "port": address.port,
            "path": address.path or None,
            "db": address.database,
            "username": address.username,
            "password": address.password,
            **(address.tls or {}),
        }
    )


@pytest.mark.parametrize("address", ACCEPTED.values(), ids=ACCEPTED)
def test_redis_py_hears_the_address(address: RedisAddress) -> None:
    with Redis(**address.client_options()) as redis:
        assert heard(redis.connection_pool.connection_kwargs) == expected(address)


@pytest.mark.parametrize("address", ACCEPTED.values(), ids=ACCEPTED)
def test_celery_hears_the_address(address: RedisAddress, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[dict[str, Any]] = []

    def note(pool: Any, *_: object, **__: object) -> None:
        tried.append(pool.connection_kwargs)
        raise ConnectionRefusedError

    monkeypatch.setattr("redis.connection.ConnectionPool.get_connection", note)

    with make_publisher(address) as celery, pytest.raises(ConnectionRefusedError):
        celery.connection_for_write().channel()

    assert heard(tried[0]) == expected(address)


@pytest.mark.parametrize("address", ACCEPTED.values(), ids=ACCEPTED)
def test_flower_hears_the_address(address: RedisAddress) -> None:
    celery = Celery(set_as_current=False)
    celery.conf.update(address.broker_options())
    # As its pages make one (flower/views/__init__.py, get_active_queue_lengths).
    url = celery.connection_for_read().as_uri(include_password=True)

    broker = Broker(url, broker_use_ssl=celery.conf.broker_use_ssl, broker_options={})

    assert isinstance(broker.redis.connection_pool.connection_kwargs, dict)
    given = heard(broker.redis.connection_pool.connection_kwargs)
    asyncio.run(broker.redis.aclose())
    if address.path:  # of a socket Flower knows neither database nor user: it counts the queues of database 0
        given |= {"db": address.database, "username": address.username}
    assert given == expected(address)


@pytest.mark.skipif(not OPENSSL, reason="no openssl to make certificates with")
def test_certificates_are_read_at_once_and_passed_on(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.server_context()
    files = {
        "ssl_ca_certs": str(authority.file),
        "ssl_certfile": str(tmp_path / "server.pem"),
        "ssl_keyfile": str(tmp_path / "server.key"),
    }

    address = parse_redis_url("rediss://h?" + "&".join(f"{name}={path}" for name, path in files.items()))

    assert address.tls == CHECKED | files


def test_a_file_that_is_no_certificate_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")

    with pytest.raises(ValueError, match="ssl_ca_certs must name a file"):
        parse_redis_url(f"rediss://h?ssl_ca_certs={tmp_path}/ca.pem")


def test_a_password_is_not_shown() -> None:
    assert "secret" not in repr(parse_redis_url("redis://:secret@h"))


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("postgres://u:p@h:5432/d", "postgresql+psycopg://u:p@h:5432/d"),
        ("postgresql:///d?host=/run/postgresql", "postgresql+psycopg:///d?host=/run/postgresql"),
        ("postgresql://h/d?sslmode=verify-full&sslrootcert=/ca.pem",) * 2,
        ("postgresql://h1,h2/d?target_session_attrs=read-write",) * 2,
        ("postgresql://h/d?options=-csearch_path%3Dsms&connect_timeout=2",) * 2,
        ("sqlite:////var/lib/sms.db", "sqlite:////var/lib/sms.db"),
    ],
)
def test_an_address_of_the_database_is_taken(url: str, kept: str) -> None:
    assert parse_database_url(url) == kept.replace("postgresql://", "postgresql+psycopg://")


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("postgresql+asyncpg://h/d", "must begin with"),
        ("mysql://h/d", "must begin with"),
        ("postgresql://h:port/d", "is not a URL"),
        ("postgresql://%2Frun%2Fpostgresql/d", "host="),
        ("postgresql://h/d?schema=sms", "none of libpq's"),
        ("postgresql://h/d?sslmode=require&pgbouncer=true", "none of libpq's"),
        ("postgresql://h/d?ssl=true", "none of libpq's"),
        ("postgresql://h/d?=", "none of libpq's"),
        ("sqlite:///", "must name a file"),
        ("sqlite:///:memory:?cache=shared", "must name a file"),
        ("sqlite:///file:sms.db?uri=true", "must name a file"),
        ("sqlite:///sms.db?mode=ro", "must not have options"),
        ("sqlite://", "must begin with"),
    ],
)
def test_a_database_that_a_process_could_not_use_is_refused(url: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_database_url(url)
