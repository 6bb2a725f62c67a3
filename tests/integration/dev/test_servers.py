"""The Redis and PostgreSQL that every other integration test relies on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from dev import postgres_server
from dev.servers import (
    PortClaims,
    PostgresServer,
    RedisServer,
    ServerError,
    free_port,
    is_free,
    redis_from_environment,
)

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a name that breaks careless command lines, deeper than a socket path may be."""
    return tmp_path / "a b'c $d ünï" / ("x" * 100)


@pytest.fixture
def redis_server(folder: Path) -> Iterator[RedisServer]:
    with RedisServer(folder) as server:
        yield server


@pytest.fixture(scope="module")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("a b'c $d ünï") / ("x" * 100)) as server:
        yield server


def connect(server: RedisServer) -> redis.Redis:
    return redis.Redis.from_url(server.url, decode_responses=True, socket_timeout=0.5)


def query(url: str, statement: str) -> str:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        row = cursor.fetchone() if cursor.description else None
        return str(row[0]) if row else ""


def wait_until(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 5
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


class TestRedis:
    def test_keeps_its_data_and_port_over_a_restart(self, redis_server: RedisServer) -> None:
        with connect(redis_server) as client:
            client.set("key", "value")
        url = redis_server.url

        redis_server.restart()

        assert redis_server.url == url
        with connect(redis_server) as client:
            assert client.get("key") == "value"

    def test_evicts_nothing_and_appends_to_a_file(self, redis_server: RedisServer) -> None:
        with connect(redis_server) as client:
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
            assert client.config_get("appendonly") == {"appendonly": "yes"}

    def test_is_gone_at_once_when_killed_and_comes_back(self, redis_server: RedisServer) -> None:
        redis_server.kill()

        assert not redis_server.running
        assert is_free(redis_server.port)
        redis_server.start()
        with connect(redis_server) as client:
            assert client.ping()

    def test_answers_nobody_while_paused(self, redis_server: RedisServer) -> None:
        redis_server.pause()

        with connect(redis_server) as client, pytest.raises(redis.exceptions.TimeoutError):
            client.ping()

        redis_server.resume()
        with connect(redis_server) as client:
            assert client.ping()

    def test_stops_even_while_paused(self, redis_server: RedisServer) -> None:
        pid = redis_server.pid
        redis_server.pause()

        redis_server.stop()

        assert not psutil.pid_exists(pid)

    def test_says_why_it_cannot_start(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            server = RedisServer(folder, port=taken.getsockname()[1])

            with pytest.raises(ServerError, match="in use"):
                server.start()

    def test_another_redis_on_the_port_is_not_taken_for_ours(
        self, redis_server: RedisServer, tmp_path: Path
    ) -> None:
        with pytest.raises(ServerError, match="in use"):
            RedisServer(tmp_path / "second", port=redis_server.port).start()

    def test_dies_with_the_program_that_started_it(self, tmp_path: Path) -> None:
        program = (
            "import os, pathlib, signal; from dev.servers import RedisServer;"
            f"print(RedisServer(pathlib.Path({str(tmp_path)!r})).start().pid, flush=True);"
            "os.kill(os.getpid(), signal.SIGKILL)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
        )

        assert done.returncode == -signal.SIGKILL, done.stderr
        assert wait_until(lambda: not psutil.pid_exists(int(done.stdout)))

    def test_the_environments_redis_counts_only_if_it_answers(self, redis_server: RedisServer) -> None:
        assert redis_from_environment({"REDIS_URL": redis_server.url}) == redis_server.url
        assert redis_from_environment({"REDIS_URL": f"redis://127.0.0.1:{free_port()}/0"}) is None
        assert redis_from_environment({"REDIS_URL": "nonsense"}) is None
        assert redis_from_environment({}) is None


class TestPostgres:
    def test_creates_copies_and_drops_databases(self, postgres: PostgresServer) -> None:
        original = postgres.create_database("an_original")
        query(original, "CREATE TABLE kept (value int)")

        copy = postgres.create_database("copy", template="an_original")

        assert query(copy, "SELECT count(*) FROM kept") == "0"
        postgres.drop_database("copy")
        with pytest.raises(psycopg.OperationalError, match="does not exist"):
            query(copy, "SELECT 1")

    def test_writes_through_to_the_disk_unless_told_otherwise(self, postgres: PostgresServer) -> None:
        assert query(postgres.url(), "SHOW fsync") == "on"

    def test_keeps_its_data_and_port_over_a_restart(self, postgres: PostgresServer) -> None:
        url = postgres.create_database("restarted")
        query(url, "CREATE TABLE kept AS SELECT 7 AS value")

        postgres.restart()

        assert query(url, "SELECT value FROM kept") == "7"

    @pytest.mark.parametrize("mode", ["smart", "fast", "immediate"])
    def test_stops_in_each_mode(self, postgres: PostgresServer, mode: postgres_server.StopMode) -> None:
        postgres.stop(mode)

        assert not postgres.running
        postgres.start()

    def test_starts_again_after_its_postmaster_was_killed(self, postgres: PostgresServer) -> None:
        url = postgres.create_database("killed")
        query(url, "CREATE TABLE kept AS SELECT 7 AS value")

        postgres.kill()
        postgres.start()

        assert query(url, "SELECT value FROM kept") == "7"

    def test_answers_nobody_while_paused(self, postgres: PostgresServer) -> None:
        postgres.pause()

        with pytest.raises(psycopg.OperationalError):
            psycopg.connect(postgres.url().replace("+psycopg", ""), connect_timeout=1)

        postgres.resume()
        assert query(postgres.url(), "SELECT 1") == "1"

    def test_data_that_a_killed_program_left_is_removed_and_no_other(self, tmp_path: Path) -> None:
        yesterday = time.time() - 24 * 3600
        abandoned, running, recent = (tmp_path / f"smsapp-postgres-{name}" for name in ("a", "b", "c"))
        for folder in (abandoned, running, recent):
            (folder / "pgdata").mkdir(parents=True)
        (running / "pgdata" / "postmaster.pid").touch()
        for folder in (abandoned, running):
            os.utime(folder, (yesterday, yesterday))

        postgres_server.remove_abandoned(tmp_path)

        assert sorted(tmp_path.iterdir()) == [running, recent]

    def test_runs_from_the_wheel_wherever_that_lies(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wheel = postgres_server.wheel_installation()
        assert wheel is not None
        hidden = tmp_path / "closed" / "site-packages"
        hidden.parent.mkdir(mode=0o700)
        hidden.symlink_to(wheel.parent.parent)
        monkeypatch.setattr(
            postgres_server,
            "postgres_bin",
            lambda: hidden / wheel.relative_to(wheel.parent.parent) / "bin",
        )
        postgres_server.usable_bin.cache_clear()

        try:
            with PostgresServer(tmp_path / "data") as server:
                assert query(server.url(), "SHOW server_version").startswith("18")
        finally:
            postgres_server.usable_bin.cache_clear()


class TestPorts:
    def test_a_port_with_a_listener_is_not_free(self) -> None:
        with socket.create_server(("", 0)) as taken:
            assert not is_free(taken.getsockname()[1])

    def test_two_claims_on_one_port_get_two_ports(self) -> None:
        wanted = free_port()
        first, second = PortClaims(), PortClaims()

        try:
            assert first.claim(wanted) == wanted
            assert second.claim(wanted) != wanted
        finally:
            first.release()
            second.release()

    def test_a_released_claim_is_free_again(self) -> None:
        wanted = free_port()
        first, second = PortClaims(), PortClaims()

        first.claim(wanted)
        first.release()

        try:
            assert second.claim(wanted) == wanted
        finally:
            second.release()


def test_the_redis_command_serves_until_told_to_stop(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "dev.servers", "redis", "--port", str(port), "--dir", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        process.send_signal(signal.SIGTERM)

        assert f"127.0.0.1:{port}" in said
        assert process.wait(timeout=10) == 0
    assert is_free(port)
    assert os.listdir(tmp_path)  # noqa: PTH208 - what it keeps is its own affair
