"""The whole service as real processes on free ports, with a simulated Twilio, for tests, faults and benchmarks.

Each process is the Procfile's own command, configured by its environment alone and run in a folder of its own, so
that nothing of the developer's (a `.env` file, say) leaks in. Any of them can be stopped, killed, frozen or restarted
by name: `web`, `worker-1`, `worker-2`, …, `beat`, `flower`, `simulator`, `redis`, `postgres`.
"""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, get_args

import urllib3
from redis import Redis
from sqlalchemy import ColumnElement, false, func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session, sessionmaker

from dev.ports import PortClaims
from dev.processes import procfile_commands
from dev.servers import PostgresServer, RedisServer, ServerProcess
from simulator.process import SimulatorProcess
from smsapp.callbacks.models import SpooledCallback
from smsapp.callbacks.spool import REDIS_UNAVAILABLE
from smsapp.callbacks.stream import STREAM
from smsapp.db.engine import make_sessions
from smsapp.db.sessions import reading
from smsapp.events.outbox import DatabaseOutbox
from smsapp.ids import parse_public_id, public_id
from smsapp.keys import queries as api_keys
from smsapp.messages.models import Message
from smsapp.runtime import Transaction, transaction
from tests.support.bulk import POSSIBLE_NUMBER, send_bulk
from tests.support.environment import ACCOUNT_SID, AUTH_TOKEN, SENDER
from tests.support.processes import StackProcess, answers, says

ROOT = Path(__file__).resolve().parents[2]
HOST = "127.0.0.1"
Database = Literal["sqlite", "postgres"]
DATABASES: tuple[Database, ...] = get_args(Database)

QUICK: Mapping[str, str] = {
    "SWEEP_EVERY": "1s",
    "TWILIO_CONNECT_TIMEOUT": "2s",
    "TWILIO_READ_TIMEOUT": "3s",
    "SEND_LEASE": "7s",
    "UNCONFIRMED_LOOKUP_AFTER": "1s",
    "UNCONFIRMED_GRACE": "9s",
    "POLL_AGES": "3s,6s,12s,24s",
    "PRICE_AGES": "2s,6s,20s",
    "STREAM_RECLAIM_AFTER": "3s",
}
"""Intervals short enough for tests; each is minutes in production."""

_LOOK_EVERY_S = 0.2
_GLANCE_EVERY_S = 0.02


class Stack:
    """One running service. As a context manager it starts everything, and stops everything at the end.

    Args:
        folder: where data and logs go; nothing else is written.
        database: which kind; PostgreSQL is started in the folder unless `postgres` is given.
        workers: how many worker processes.
        environment: settings that override those of `QUICK`.
        simulator: options of the simulated Twilio, by name as in `POST /_config`.
        only: start just these processes; others can be started later by name.
        without: start all but these.
    """

    def __init__(
        self,
        folder: Path,
        *,
        database: Database = "sqlite",
        workers: int = 1,
        environment: Mapping[str, str] | None = None,
        simulator: Mapping[str, object] | None = None,
        postgres: PostgresServer | None = None,
        only: Collection[str] | None = None,
        without: Collection[str] = (),
    ) -> None:
        self.folder = folder.resolve()
        self.kind: Database = database
        self.workers = [f"worker-{number}" for number in range(1, workers + 1)]
        self._claims = PortClaims()
        self.ports = {name: self._claims.claim_any() for name in ("web", "flower", "simulator")}
        self.redis = RedisServer(self.folder / "redis")
        self.postgres = postgres
        self.api_key = ""
        self.environment: dict[str, str] = {}
        usual = ("simulator", "web", *self.workers, "beat")
        self._started = [name for name in (usual if only is None else only) if name not in without]
        self._owns_postgres = postgres is None
        self._given = dict(environment or {})
        self._simulator_options = {"sent_ms": 50, "final_ms": 120, **(simulator or {})}
        self._processes: dict[str, StackProcess] = {}
        self._sessions: sessionmaker[Session] | None = None
        self._http = self._connections()

    # Life.

    def __enter__(self) -> Self:
        try:
            return self.up()
        except BaseException:
            self.down()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    def up(self) -> Self:
        """Start everything on an empty, migrated database; return once all are ready."""
        self.folder.mkdir(parents=True, exist_ok=True)
        link = self.folder / "deploy"  # the Procfile names files relative to the project
        if not link.exists():
            link.symlink_to(ROOT / "deploy")
        self.redis.start()
        self.environment = self._make_environment(self._prepare_database())
        self._define_processes()
        self.cli("db", "upgrade")
        with self.sessions.begin() as session:
            self.api_key = api_keys.issue(session, "tests", mode="live", now=datetime.now(UTC))
        for name in self._started:
            self._processes[name].launch()
        for name in self._started:
            self._processes[name].wait_until_ready()
        return self

    def down(self) -> None:
        """Stop everything, the servers last; logs and data stay."""
        self._let_go()
        living = [process for process in self._processes.values() if process.running]
        for process in living:
            process.ask_to_stop()
        for process in living:
            process.stop()
        if self._sessions is not None:
            self._sessions.kw["bind"].dispose()
        self.redis.close()
        if self.postgres and self._owns_postgres:
            self.postgres.close()
        elif self.postgres and self.postgres.running:
            self.postgres.drop_database(self.folder.name)
        self._claims.release()

    def start(self, name: str) -> None:
        """Start a process or server and return once it is ready."""
        self._find(name).start()

    def stop(self, name: str) -> None:
        """Ask it to end (SIGTERM) and return once it has."""
        self._let_go()
        self._find(name).stop()

    def kill(self, name: str) -> None:
        """Kill it and its children (SIGKILL)."""
        self._find(name).kill()

    def restart(self, name: str) -> None:
        """Stop and start it."""
        self.stop(name)
        self.start(name)

    def pause(self, name: str) -> None:
        """Freeze it (SIGSTOP): connections stay open and nothing answers."""
        self._find(name).pause()

    def resume(self, name: str) -> None:
        """Go on after `pause`."""
        self._find(name).resume()

    def process(self, name: str) -> StackProcess:
        """Return one of our own processes, for its pid and its logs."""
        return self._processes[name]

    def logs(self) -> dict[str, str]:
        """Return everything that our own processes have printed so far, by file name."""
        return {
            path.name: path.read_text("utf-8", "replace") for path in sorted((self.folder / "log").iterdir())
        }

    def run(self, name: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a process of the Procfile in the foreground with some settings replaced, until it ends by itself."""
        return subprocess.run(
            ["/bin/sh", "-c", f"exec {self._processes[name].command}"],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def cli(
        self, *arguments: str, check: bool = True, **environment: str
    ) -> subprocess.CompletedProcess[str]:
        """Run `python -m smsapp …` as an operator would.

        Raises:
            RuntimeError: it failed; the text is its output.
        """
        done = subprocess.run(
            [sys.executable, "-m", "smsapp", *arguments],
            cwd=self.folder,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        if check and done.returncode:
            raise RuntimeError(f"smsapp {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
        return done

    def launch_cli(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start `python -m smsapp …` and do not wait; its output is in `stdout`."""
        return subprocess.Popen(
            [sys.executable, "-m", "smsapp", *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    # Actions of callers and operators.

    def url(self, name: str = "web") -> str:
        """Return the address of a process that listens."""
        return f"http://{HOST}:{self.ports[name]}"

    def request(
        self, method: str, path: str, json: object = None, *, headers: Mapping[str, str] | None = None
    ) -> urllib3.BaseHTTPResponse:
        """Make one API request with the stack's key; an error answer is returned, not raised."""
        given = {"Authorization": f"Bearer {self.api_key}", **(headers or {})}
        return self._http.request(method, path, json=json, headers=given)

    def upload(
        self,
        path: str,
        body: object = None,
        *,
        fields: Mapping[str, Any] | None = None,
        kind: str = "text/csv",
    ) -> urllib3.BaseHTTPResponse:
        """Post a form, or a body of another kind; an iterator of bytes goes out in chunks."""
        given = {"Authorization": f"Bearer {self.api_key}"}
        if fields is not None:
            return self._http.request("POST", path, fields=fields, headers=given)
        return self._http.request("POST", path, body=body, headers={**given, "Content-Type": kind})

    def post(self, to: str, body: str, **fields: object) -> dict[str, Any]:
        """Send one text through the API and return the answer.

        Raises:
            RuntimeError: it was not accepted.
        """
        answer = self.request("POST", "/sms/send", {"to": to, "body": body, **fields})
        if answer.status != 202:
            raise RuntimeError(f"{answer.status}: {answer.data.decode()}")
        document: dict[str, Any] = answer.json()
        return document

    def send(
        self,
        count: int,
        *,
        to: str | Callable[[int], str] = POSSIBLE_NUMBER,
        concurrency: int = 8,
        rate: float | None = None,
        patience_s: float = 60.0,
        **fields: object,
    ) -> dict[str, str]:
        """Send many texts, each with a body of its own; return those bodies by accepted id.

        A request that fails to connect or gets a 503 is retried with its Idempotency-Key until `patience_s` have
        passed. `rate` is in messages per second, None for as fast as it goes. Safe to run in a thread.
        """
        return send_bulk(
            self.url(),
            self.api_key,
            count,
            to=to,
            concurrency=concurrency,
            rate=rate,
            patience_s=patience_s,
            fields=fields,
        )

    def message(self, message_id: str, *, wait_s: int = 0) -> dict[str, Any]:
        """Return a message as the API shows it, with `wait_s` as soon as its outcome is known."""
        answer = self.request("GET", f"/sms/messages/{message_id}?wait={wait_s}")
        assert answer.status == 200, answer.data
        document: dict[str, Any] = answer.json()
        return document

    def events(self, message_id: str) -> list[dict[str, Any]]:
        """Return a message's history as the API shows it."""
        answer = self.request("GET", f"/sms/messages/{message_id}/events")
        assert answer.status == 200, answer.data
        events: list[dict[str, Any]] = answer.json()["data"]
        return events

    # State.

    @property
    def simulator(self) -> SimulatorProcess:
        """The simulated Twilio: its options, its counts, its phones."""
        return SimulatorProcess(self.url("simulator"), self._processes["simulator"].popen)

    @contextmanager
    def twilio_set_to(self, **changes: float | str) -> Iterator[None]:
        """Change Twilio's behaviour within the context."""
        usual = self.simulator.call("GET", "/_config")
        self.simulator.configure(**changes)
        try:
            yield
        finally:
            self.simulator.configure(**{name: usual[name] for name in changes})

    def ledger(self) -> list[dict[str, Any]]:
        """Return every message that Twilio accepted."""
        messages: list[dict[str, Any]] = self.simulator.ledger()["messages"]
        return messages

    @property
    def sessions(self) -> sessionmaker[Session]:
        """Sessions on the service's database."""
        if self._sessions is None:
            self._sessions = make_sessions(self.environment["DATABASE_URL"], pool_size=4)
        return self._sessions

    @contextmanager
    def database(self) -> Iterator[Session]:
        """Open a session that only reads the service's database."""
        with reading(self.sessions) as session:
            yield session

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Open a transaction that writes its events; no worker is woken, the sweep finds them."""
        with transaction(self.sessions, DatabaseOutbox(lambda _session: False)) as tx:
            yield tx

    def rows(self, ids: Collection[str] | None = None) -> dict[str, Message]:
        """Return messages by public id, all of them or those with these ids."""
        query = select(Message) if ids is None else select(Message).where(_around(ids))
        with self.database() as session:
            found = {public_id(message.id): message for message in session.scalars(query)}
        return found if ids is None else {key: found[key] for key in ids if key in found}

    def unsettled(self, ids: Collection[str]) -> set[str]:
        """Return those of the ids whose message has no outcome yet, or is not there."""
        wanted = {parse_public_id(key): key for key in ids}
        with self.database() as session:
            query = select(Message.id).where(_around(ids), Message.outcome.is_not(None))
            settled = set(session.scalars(query))
        return {key for message_id, key in wanted.items() if message_id not in settled}

    def wait_until_settled(self, ids: Collection[str], timeout_s: float = 30.0) -> float:
        """Wait until every message has an outcome, also while the database is down; return the seconds that it took.

        Raises:
            TimeoutError: some have none; the text gives their states.
        """
        began = time.monotonic()
        left: set[str] = set(ids)
        while time.monotonic() - began < timeout_s:
            try:
                left = self.unsettled(ids)
            except SQLAlchemyError:
                left = set(ids)
            if not left:
                return time.monotonic() - began
            time.sleep(_LOOK_EVERY_S)
        sample = {key: (row.status, row.due_at) for key, row in self.rows(sorted(left)[:5]).items()}
        raise TimeoutError(
            f"{len(left)} of {len(ids)} messages not settled after {timeout_s} s, such as {sample}"
        )

    def wait_until(self, seen: Callable[[], bool], timeout_s: float = 30.0) -> None:
        """Return once the condition holds.

        Raises:
            TimeoutError: it never did.
        """
        deadline = time.monotonic() + timeout_s
        while not seen():
            if time.monotonic() > deadline:
                raise TimeoutError(f"not seen within {timeout_s} s")
            time.sleep(_GLANCE_EVERY_S)

    def wait_until_tracked(self, timeout_s: float = 30.0) -> None:
        """Return once no callback is waiting, neither in the stream nor in the spool.

        Raises:
            TimeoutError: some still do.
        """
        with Redis.from_url(self.redis.url) as redis:
            self.wait_until(lambda: not (redis.xlen(STREAM) or self._inbox()), timeout_s)

    def _inbox(self) -> int:
        with self.database() as session:
            waiting = select(func.count()).where(SpooledCallback.reason == REDIS_UNAVAILABLE)
            return session.scalar(waiting) or 0

    # Internals.

    def _let_go(self) -> None:
        """Close idle connections: gunicorn waits for them when it shuts down."""
        self._http.close()
        self._http = self._connections()

    def _connections(self) -> urllib3.HTTPConnectionPool:
        timeout = urllib3.Timeout(connect=2, read=35)  # a long poll takes up to 30 s
        return urllib3.HTTPConnectionPool(HOST, self.ports["web"], maxsize=16, retries=False, timeout=timeout)

    def _prepare_database(self) -> str:
        if self.kind == "sqlite":
            return f"sqlite:///{self.folder / 'smsapp.db'}"
        if self.postgres is None:
            self.postgres = PostgresServer(self.folder / "postgres")
        self.postgres.start()
        return self.postgres.create_database(self.folder.name)

    def _make_environment(self, database_url: str) -> dict[str, str]:
        path = [str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]
        return {
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": HOST,
            "LOG_FORMAT": "json",
            "DATABASE_URL": database_url,
            "REDIS_URL": self.redis.url,
            "APP_BASE_URL": self.url(),
            "TWILIO_API_BASE_URL": self.url("simulator"),
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_PHONE_NUMBER": SENDER,
            "BIND_HOST": HOST,
            "PORT": str(self.ports["web"]),
            "WEB_CONCURRENCY": "1",
            "FLOWER_ADDRESS": HOST,
            "FLOWER_PORT": str(self.ports["flower"]),
            "FLOWER_UNAUTHENTICATED_API": "true",
            "PUSH_ALLOW_HTTP": "true",
            "PUSH_CONCURRENCY": "32",
            "PUSH_ALLOWED_NETWORKS": "127.0.0.0/8",
            **QUICK,
            **self._given,
        }

    def _define_processes(self) -> None:
        commands = procfile_commands(ROOT / "Procfile")
        self._define("web", commands["web"], answers(self.url() + "/livez"))
        for name in self.workers:
            self._define(name, f"{commands['worker']} --hostname {name}@%h", says(" ready."))
        self._define("beat", commands["beat"], says("maxinterval"))
        self._define("flower", commands["flower"], answers(self.url("flower") + "/healthcheck"))
        options = {f"SIMULATOR_{key.upper()}": str(value) for key, value in self._simulator_options.items()}
        options |= {"SIMULATOR_HOST": HOST, "SIMULATOR_PORT": str(self.ports["simulator"])}
        self._define(
            "simulator",
            commands["simulator"],
            answers(self.url("simulator") + "/_health"),
            options | {"TWILIO_PHONE_NUMBER": ""},  # any sender is the account's
        )

    def _define(
        self,
        name: str,
        command: str,
        ready: Callable[[StackProcess], bool],
        extra: Mapping[str, str] | None = None,
    ) -> None:
        environment = self.environment | dict(extra or {})
        self._processes[name] = StackProcess(name, command, self.folder, environment, ready)

    def _find(self, name: str) -> StackProcess | ServerProcess:
        servers = {"redis": self.redis, "postgres": self.postgres}
        server = servers.get(name)
        return server if server is not None else self._processes[name]


Stacks = Callable[[Database], Stack]
"""Returns the running service on a database."""


def _around(ids: Collection[str]) -> ColumnElement[bool]:
    """Return the condition that a message's id is near these, to skip other tests' thousands: ids grow with time."""
    wanted = [parse_public_id(key) for key in ids]
    return Message.id.between(min(wanted), max(wanted)) if wanted else false()
