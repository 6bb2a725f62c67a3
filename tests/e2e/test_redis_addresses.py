"""The whole service with a Redis that is reached in another way than by host and port."""

from collections.abc import Callable
from pathlib import Path

import pytest
import urllib3

from tests.support.audit import audit
from tests.support.certificates import OPENSSL, Authority
from tests.support.relay import Relay
from tests.support.stack import HOST, Stack


def by_tls(_folder: Path, authority: Authority) -> tuple[Relay, str]:
    """Return a relay that speaks TLS, and the URL of Redis behind it, but for its port."""
    return Relay(tls=authority.server_context()), f"rediss://{HOST}:PORT/0?ssl_ca_certs={authority.file}"


def by_socket(folder: Path, _authority: Authority) -> tuple[Relay, str]:
    """Return a relay on a Unix socket, and the URL of Redis behind it."""
    return Relay(path=folder / "redis.sock"), f"unix://{folder}/redis.sock?db=0"


@pytest.mark.parametrize(
    "way", [pytest.param(by_tls, marks=pytest.mark.skipif(not OPENSSL, reason="no openssl")), by_socket]
)
def test_every_process_reaches_redis(
    tmp_path: Path,
    authority: Authority,
    way: Callable[[Path, Authority], tuple[Relay, str]],
) -> None:
    relay, url = way(tmp_path, authority)
    with relay:
        environment = {"REDIS_URL": url.replace("PORT", str(relay.port))}
        stack = Stack(tmp_path / "stack", environment=environment)
        relay.target = lambda: stack.redis.port
        with stack:
            stack.start("flower")
            sent = stack.send(3)
            stack.wait_until_settled(sent)
            ready = stack.request("GET", "/readyz").json()
            doctor = stack.cli("doctor").stdout
            workers = urllib3.request("GET", stack.url("flower") + "/api/workers?refresh=1", retries=False)
            queues = urllib3.request("GET", stack.url("flower") + "/api/queues/length", retries=False)
            found = audit(stack, sent)

    assert found.clean
    assert ready["checks"] == {"database": "ok", "redis": "ok"}
    assert "FAIL" not in doctor
    assert len(workers.json()) == 1
    assert queues.status == 200
