"""What every system under measurement shares: PostgreSQL and Redis as in production, the fake Twilio, and a folder."""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Self
from urllib.request import ProxyHandler, Request, build_opener

import psycopg

from bench.children import BenchError, Child, wait_for_port
from dev.servers import PortClaims, PostgresServer, RedisServer
from dev.var_folder import VAR

FOLDER = VAR / "bench"

# fsync, full_page_writes and synchronous_commit are on, as they are by default. Checkpoints come between runs, when we
# ask for one, and not by chance within a run of one system.
_POSTGRES = {
    "shared_buffers": "512MB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "1h",
    "autovacuum": "off",
}
_STATEMENT = re.compile(rb"(?m)^smsapp\|LOG: +(?:statement|execute [^:]*): *(\w+)")
_BORDER = re.compile(rb"BEGIN|COMMIT|ROLLBACK")
_RELOAD_S = 0.5
_FIRST_PORT = 24_000
_RUN = "run-"

_http = build_opener(ProxyHandler({}))  # what is on this machine must not go through a proxy


class Stand:
    """Servers for all systems; use it as a context, and everything has ended after it."""

    def __init__(self) -> None:
        FOLDER.mkdir(parents=True, exist_ok=True)
        _remove_leftovers()
        # Open to others: PostgreSQL may run as another user, and must find its data on this disk, not in memory.
        self.folder = FOLDER / f"{_RUN}{os.getpid()}"
        self.folder.mkdir(mode=0o755)
        self._ports = PortClaims()
        self._open = ExitStack()
        self._redis_databases = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
            stack.callback(self._ports.release)
            self.postgres = stack.enter_context(
                PostgresServer(self.folder / "postgres", self.port(), settings=_POSTGRES)
            )
            self.redis = stack.enter_context(RedisServer(self.folder / "redis", self.port()))
            self.fake_port = self.port()
            self._fake = Child(
                "fake Twilio",
                [sys.executable, "-m", "bench.fake_twilio", str(self.fake_port)],
                {"PATH": ""},
                log=self.log("fake"),
            )
            stack.callback(self._fake.stop)
            wait_for_port(self.fake_port, self._fake)
            self._open = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def port(self) -> int:
        """Return a port that nobody else uses."""
        return self._ports.claim(_FIRST_PORT)

    def log(self, name: str) -> Path:
        """Return a process's log file."""
        return self.folder / f"{name}.log"

    def database(self, name: str) -> str:
        """Create an empty PostgreSQL database and return its URL for libpq."""
        return self.postgres.create_database(name).replace("+psycopg", "")

    def redis_url(self) -> str:
        """Return the URL of a Redis database that nobody else uses; there are 16."""
        number, self._redis_databases = self._redis_databases, self._redis_databases + 1
        return self.redis.url.removesuffix("/0") + f"/{number}"

    def roots(self) -> dict[str, list[int]]:
        """Return the processes that all systems share, by name."""
        return {"postgres": [self.postgres.pid], "redis": [self.redis.pid], "fake": [self._fake.pid]}

    def settle(self) -> None:
        """Flush pending writes of earlier runs, so that they do not slow the next."""
        with psycopg.connect(self.postgres.url().replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("CHECKPOINT")

    def wal_bytes(self) -> int:
        """Return how much PostgreSQL has written to its log so far."""
        with psycopg.connect(self.postgres.url().replace("+psycopg", "")) as connection:
            row = connection.execute("SELECT pg_current_wal_insert_lsn() - '0/0'").fetchone()
        assert row is not None
        return int(row[0])

    def count_queries(self, seconds: float) -> int:
        """Return how many statements the service makes PostgreSQL execute in that time, by PostgreSQL's own log.

        Its statistics would be late: an idle session may keep its counts for ten seconds.
        """
        self._configure_postgres({"log_statement": "all", "log_line_prefix": "%a|"})
        begin = self.postgres.log.stat().st_size
        time.sleep(seconds)
        said = self.postgres.log.read_bytes()[begin:]
        self._configure_postgres({"log_statement": "none"})
        return sum(not _BORDER.match(statement) for statement in _STATEMENT.findall(said))

    def _configure_postgres(self, settings: Mapping[str, str]) -> None:
        with psycopg.connect(self.postgres.url().replace("+psycopg", ""), autocommit=True) as connection:
            for name, value in settings.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
            connection.execute("SELECT pg_reload_conf()")
        time.sleep(_RELOAD_S)

    @property
    def fake_url(self) -> str:
        """The base of Twilio's API."""
        return f"http://127.0.0.1:{self.fake_port}"

    def configure_fake(self, *, latency_ms: float, steps: str = "") -> None:
        """Set the latency of sends and the callbacks after them, such as `sent@200,delivered@400`; forget the rest."""
        self._ask(f"/_config?latency_ms={latency_ms}&steps={steps}", b"")

    def fake_stats(self) -> dict[str, Any]:
        """Return what the fake saw since it was configured."""
        return self._ask("/_stats", None)

    def fake_times(self) -> dict[str, Any]:
        """Return when the fake saw and did what since it was configured."""
        return self._ask("/_times", None)

    def _ask(self, path: str, data: bytes | None) -> dict[str, Any]:
        self._fake.check()
        with _http.open(Request(self.fake_url + path, data), timeout=10) as response:  # noqa: S310 - our own
            answer = json.load(response)
        if not isinstance(answer, dict):
            raise BenchError(f"the fake Twilio answered {answer!r}")
        return answer


def _remove_leftovers() -> None:
    """Remove the folders of runs that were killed."""
    for folder in FOLDER.glob(f"{_RUN}*"):
        if not Path("/proc", folder.name.removeprefix(_RUN)).exists():
            shutil.rmtree(folder, ignore_errors=True)
