"""TLS, Unix sockets and passwords: what one client of Redis accepts or refuses, all of them do."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from celery import Celery
from flower.utils.broker import Broker
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from celeryconfig import celery_settings
from dev.servers import RedisServer
from smsapp.config import Settings
from smsapp.connect import build_runtime
from smsapp.db.engine import make_sessions
from smsapp.health.checks import check_redis
from smsapp.queue.tasks import make_publisher
from tests.support.certificates import OPENSSL, Authority
from tests.support.environment import make_settings
from tests.support.relay import Relay
from tests.support.stack import HOST

REACHED = "reached"
PATIENTLY: dict[str, Any] = {"socket_timeout": 20, "socket_connect_timeout": 20}
"""A machine that is busy must not make an address a wrong one."""


def by_redis_py(settings: Settings) -> None:
    redis = Redis(**settings.redis.client_options(), **PATIENTLY, retry=Retry(NoBackoff(), 0), protocol=2)
    with redis:
        redis.set("smsapp:test", "1", px=1000)


def by_the_publisher(settings: Settings) -> None:
    with make_publisher(settings.redis) as celery:
        celery.conf.broker_transport_options |= PATIENTLY
        with celery.connection_for_write() as connection:
            connection.default_channel.client.set("smsapp:test", "1", px=1000)


def by_the_worker(settings: Settings) -> None:
    """As workers, beat and Flower's watch of events do."""
    with Celery(set_as_current=False) as celery:
        celery.conf.update(celery_settings(settings))
        with celery.connection_for_read() as connection:
            connection.default_channel.client.set("smsapp:test", "1", px=1000)


def by_flowers_page(settings: Settings) -> None:
    with Celery(set_as_current=False) as celery:
        celery.conf.update(celery_settings(settings))
        url = celery.connection_for_read().as_uri(include_password=True)
        broker = Broker(url, broker_use_ssl=celery.conf.broker_use_ssl, broker_options=PATIENTLY)
        asyncio.run(broker.queues(["send"]))


CLIENTS: tuple[Callable[[Settings], None], ...] = (
    by_redis_py,
    by_the_publisher,
    by_the_worker,
    by_flowers_page,
)


def tried(url: str) -> dict[str, str]:
    """Return by client how it fared: REACHED, or the text of its error."""
    settings = make_settings(redis_url=url)

    def fared(client: Callable[[Settings], None]) -> str:
        try:
            client(settings)
        except Exception as error:  # noqa: BLE001 - each client has errors of its own
            return str(error)
        return REACHED

    with ThreadPoolExecutor(len(CLIENTS)) as threads:  # some try for seconds
        answers = threads.map(fared, CLIENTS)
    return dict(zip([client.__name__ for client in CLIENTS], answers, strict=True))


def all_say(text: str, url: str) -> bool:
    """Return whether every client says this of the address; the answers are shown when one does not."""
    said = tried(url)
    assert {client: answer for client, answer in said.items() if text not in answer} == {}
    return True


with_openssl = pytest.mark.skipif(not OPENSSL, reason="no openssl to make certificates with")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def port(authority: Authority, redis_server: RedisServer) -> Iterator[int]:
    """A port where Redis speaks TLS, with a certificate for 127.0.0.1 from a private authority."""
    with Relay(target=lambda: redis_server.port, tls=authority.server_context()) as relay:
        yield relay.port


@with_openssl
def test_a_certificate_of_an_unknown_authority_is_refused(port: int) -> None:
    assert all_say("CERTIFICATE_VERIFY_FAILED", f"rediss://{HOST}:{port}/0")


@with_openssl
def test_a_named_authority_is_trusted(port: int, authority: Authority) -> None:
    assert all_say(REACHED, f"rediss://{HOST}:{port}/0?ssl_ca_certs={authority.file}")


@with_openssl
def test_another_authority_is_not(port: int, tmp_path: Path) -> None:
    stranger = Authority(tmp_path)

    assert all_say("CERTIFICATE_VERIFY_FAILED", f"rediss://{HOST}:{port}/0?ssl_ca_certs={stranger.file}")


@with_openssl
def test_a_certificate_for_another_host_is_refused(port: int, authority: Authority) -> None:
    assert all_say("CERTIFICATE_VERIFY_FAILED", f"rediss://localhost:{port}/0?ssl_ca_certs={authority.file}")


@with_openssl
def test_the_name_need_not_be_checked(port: int, authority: Authority) -> None:
    options = f"ssl_ca_certs={authority.file}&ssl_check_hostname=false"

    assert all_say(REACHED, f"rediss://localhost:{port}/0?{options}")


@with_openssl
@pytest.mark.parametrize("spelling", ["none", "CERT_NONE"])
def test_either_spelling_opts_out(port: int, spelling: str) -> None:
    assert all_say(REACHED, f"rediss://localhost:{port}/0?ssl_cert_reqs={spelling}")


@with_openssl
def test_the_health_check_names_the_certificate(port: int) -> None:
    settings = make_settings(redis_url=f"rediss://{HOST}:{port}/0")
    rt = build_runtime(
        settings,
        sessions=make_sessions(settings.database_url, pool_size=1),
        celery=make_publisher(settings.redis),
        patient=False,
    )

    assert check_redis(rt) == "certificate_refused"


def test_a_unix_socket_is_reached(redis_server: RedisServer, tmp_path: Path) -> None:
    path = tmp_path / "with space.sock"
    with Relay(target=lambda: redis_server.port, path=path):
        assert all_say(REACHED, f"unix://{path}?db=1".replace(" ", "%20"))


@pytest.mark.parametrize("password", ["plain", "p@/:;#%?&+ ü"])
def test_whatever_is_in_a_password_is_heard_by_all(tmp_path: Path, password: str) -> None:
    with RedisServer(tmp_path / "redis") as server:
        with Redis.from_url(server.url) as redis:
            redis.config_set("requirepass", password)

        assert all_say(REACHED, f"redis://:{quote(password, safe='')}@{HOST}:{server.port}/0")
        assert REACHED not in tried(f"redis://{HOST}:{server.port}/0").values()
