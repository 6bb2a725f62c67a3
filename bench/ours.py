"""smsapp under measurement: the processes of the Procfile, as `make demo` and production start them."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from sqlalchemy import create_engine, text
from sqlalchemy.engine import Engine

from bench.children import BenchError, Child, wait_for_port
from bench.seeding import seed_postgres, seed_sqlite
from bench.stand import Stand
from bench.system import Faults
from bench.traffic import ACCOUNT_SID, AUTH_TOKEN, SENDER, STEPS, Address, message_id_of
from dev.processes import procfile_commands
from dev.var_folder import ROOT
from smsapp.tables import metadata

NOT_MEASURED = {"redis", "simulator", "flower", "console"}
"""The Procfile's processes to run: the stand has its own Redis and fake Twilio, and the others only observe."""

SEND_CONCURRENCY = 64
_TABLES = tuple(
    table.name
    for table in reversed(metadata.sorted_tables)  # what refers to messages comes before them
    if table.name in {"outbox", "messages", "callback_spool", "dead_letters"}
    or any(key.column.table.name == "messages" for key in table.foreign_keys)
)
_FINAL = "('delivered', 'read', 'undelivered', 'failed', 'canceled')"


class Ours:
    """One smsapp with a database of its own."""

    def __init__(
        self,
        stand: Stand,
        database: str,
        *,
        name: str = "smsapp",
        workers: int = 1,
        sqlite: bool = False,
    ) -> None:
        """Start it; `workers` processes of the kind `worker`, the others as the Procfile says."""
        self.name = name
        self.address = Address.ID
        self.port = stand.port()
        self._is_sqlite = sqlite
        self.url = f"sqlite:///{stand.folder / database}.db" if sqlite else stand.database(database)
        self.environment = _environment(stand, self.url, self.port)
        self._children: dict[str, list[Child]] = {}
        self._stand = stand
        self._database = database
        _manage(self.environment, "db", "upgrade")
        self.send_headers = {
            "Authorization": f"Bearer {_manage(self.environment, 'keys', 'create', 'bench')}"
        }
        self._engine: Engine = create_engine(
            self.url.replace("postgresql:", "postgresql+psycopg:"), isolation_level="AUTOCOMMIT"
        )
        self._api_key_id = UUID(str(self._value("SELECT id FROM api_keys")))
        self._of_this_run = "true"  # the SQL condition for a run's messages
        self._start(workers)

    @property
    def base_url(self) -> str:
        """The URL for which callbacks are signed."""
        return f"http://127.0.0.1:{self.port}"

    def roots(self) -> dict[str, list[int]]:
        """Return its processes by name."""
        return {name: [child.pid for child in children] for name, children in self._children.items()}

    def scale(self, workers: int) -> None:
        """Start again with another number of worker processes."""
        self.stop()
        self._start(workers)

    def pause_workers(self) -> None:
        """Freeze the workers: callbacks are acknowledged and wait."""
        for child in self._children["worker"]:
            child.pause()

    def resume_workers(self) -> None:
        """Go on after `pause_workers`."""
        for child in self._children["worker"]:
            child.resume()

    def stop(self) -> None:
        """Stop all processes; the database stays."""
        for children in self._children.values():
            for child in children:
                child.stop()
        self._children.clear()

    def clear(self) -> None:
        """Remove every message."""
        self._of_this_run = "true"
        if self._is_sqlite:
            for table in _TABLES:
                self._execute(f"DELETE FROM {table}")
        else:
            self._execute(f"TRUNCATE {', '.join(_TABLES)}")

    def seed(self, numbers: range, *, delivered: bool = False) -> None:
        """Store these messages as queued at Twilio (or as delivered), with their history."""
        self._of_this_run = "true" if self._is_sqlite else f"id >= '{message_id_of(numbers[0])}'"
        if self._is_sqlite:
            seed_sqlite(self._engine, numbers, self._api_key_id)
        else:
            seed_postgres(self.url, numbers, self._api_key_id, delivered=delivered)
            self._execute("VACUUM ANALYZE messages, message_events")

    def forget(self, numbers: range) -> None:
        """Remove the messages from the first of these numbers on, with everything they left behind."""
        first = message_id_of(numbers[0])
        self._execute(f"DELETE FROM message_events WHERE message_id >= '{first}'")
        self._execute(f"DELETE FROM messages WHERE id >= '{first}'")
        self._execute("VACUUM messages, message_events")

    def unfinished(self) -> int:
        """Return how many messages of this run have no final status; other stored messages are not counted."""
        return self._count(f"messages WHERE status NOT IN {_FINAL} AND {self._of_this_run}")

    def unsubmitted(self) -> int:
        """Return how many accepted messages have not been at Twilio yet."""
        return self._count("messages WHERE status IN ('pending', 'submitting')")

    def faults(self, messages: int) -> Faults:
        """Compare rows and histories with those that this many delivered messages must have left."""
        delivered = "SELECT id FROM messages WHERE status = 'delivered' AND outcome = 'delivered'"
        rows = self._count("messages")
        events = self._count("message_events WHERE source = 'callback'")
        told_apart = self._count(
            "(SELECT DISTINCT message_id, status FROM message_events WHERE source = 'callback'"
            f" AND message_id IN ({delivered})) AS callbacks"
        )
        set_aside = self._count("dead_letters") + self._count("callback_spool")
        return Faults(
            lost=max(0, messages - rows) + max(0, messages * len(STEPS) - events),
            wrong=messages * len(STEPS) - told_apart + set_aside,
        )

    def stored_bytes(self) -> dict[str, float]:
        """Return the bytes of a message and of an event, their indexes included, once vacuumed."""
        if self._is_sqlite:
            return {}
        self._execute("VACUUM FULL messages, message_events")
        sizes = {}
        for table, name in (("messages", "bytes_per_message"), ("message_events", "bytes_per_event")):
            size = self._value(f"SELECT pg_total_relation_size('{table}')")
            sizes[name] = int(str(size)) / max(1, self._count(table))
        return sizes

    def _start(self, workers: int) -> None:
        try:
            for name, command in procfile_commands(ROOT / "Procfile").items():
                if name not in NOT_MEASURED:
                    self._children[name] = [
                        self._child(f"{name}-{number}", command)
                        for number in range(workers if name == "worker" else 1)
                    ]
            wait_for_port(self.port, *(child for children in self._children.values() for child in children))
        except BaseException:
            self.stop()
            raise

    def _child(self, name: str, command: str) -> Child:
        log = self._stand.log(f"{self._database}-{name}")
        return Child(name, ["/bin/sh", "-c", f"exec {command}"], self.environment, log=log)

    def _count(self, source: str) -> int:
        return int(str(self._value(f"SELECT count(*) FROM {source}")))

    def _value(self, query: str) -> object:
        with self._engine.connect() as connection:
            return connection.execute(text(query)).scalar_one()

    def _execute(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))


def _environment(stand: Stand, database_url: str, port: int) -> dict[str, str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("TWILIO_")}
    return {
        **bare,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "LOG_FORMAT": "json",
        "DATABASE_URL": database_url,
        "REDIS_URL": stand.redis_url(),
        "APP_BASE_URL": f"http://127.0.0.1:{port}",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": SENDER,
        "TWILIO_API_BASE_URL": stand.fake_url,
        "SEND_CONCURRENCY": str(SEND_CONCURRENCY),
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "2",
        "PUSH_ALLOW_HTTP": "true",
        "PUSH_ALLOWED_NETWORKS": "127.0.0.1/32",
    }


def _manage(environment: Mapping[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "smsapp", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"smsapp {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")
    return (done.stdout.splitlines() or [""])[-1].strip()
