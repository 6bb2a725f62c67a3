"""The peer (a NestJS application) and the textbook's Flask application: both keep one row per message, no history."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import psycopg

from bench.children import BenchError, Child, wait_for_port
from bench.stand import FOLDER, Stand
from bench.system import Faults
from bench.traffic import ACCOUNT_SID, AUTH_TOKEN, SENDER, Address, recipient_of, sid_of
from dev.var_folder import ROOT

_NOT_SOURCES = {"node_modules", "dist", ".git"}
_THREADS = 16


class MessageLogSystem:
    """A system with a table `message_logs`."""

    address = Address.SID

    def __init__(self, stand: Stand, name: str, database_url: str) -> None:
        self.name = name
        self.port = stand.port()
        self.send_headers: dict[str, str] = {}
        self._child: Child | None = None
        self._connection = psycopg.connect(database_url, autocommit=True)

    @property
    def base_url(self) -> str:
        """The URL for which callbacks are signed."""
        return f"http://127.0.0.1:{self.port}"

    def start(self, command: list[str], environment: Mapping[str, str], *, log: Path, cwd: Path) -> None:
        """Start the processes and return once they listen."""
        self._child = Child(self.name, command, environment, log=log, cwd=cwd)
        wait_for_port(self.port, self._child)

    def stop(self) -> None:
        """Stop the processes."""
        if self._child:
            self._child.stop()
        self._connection.close()

    def roots(self) -> dict[str, list[int]]:
        """Return its processes by name."""
        return {"web": [self._child.pid]} if self._child else {}

    def clear(self) -> None:
        """Remove every message."""
        self._connection.execute("TRUNCATE message_logs")

    def seed(self, numbers: range) -> None:
        """Store these messages as queued at Twilio."""
        columns = "message_sid, to_number, from_number, body, status"
        with (
            self._connection.cursor() as cursor,
            cursor.copy(f"COPY message_logs ({columns}) FROM STDIN") as copy,
        ):
            for number in numbers:
                copy.write_row(
                    (sid_of(number), recipient_of(number), SENDER, f"Your code is {number}.", "queued")
                )
        self._connection.execute("VACUUM ANALYZE message_logs")

    def unfinished(self) -> int:
        """Return how many messages have no final status."""
        return self._count("status <> 'delivered'")

    def unsubmitted(self) -> int:
        """Return 0: the answer to a send comes after Twilio's."""
        return 0

    def faults(self, messages: int) -> Faults:
        """Compare the rows with those that this many delivered messages must have left."""
        return Faults(lost=max(0, messages - self._count("true")), wrong=self.unfinished())

    def stored_bytes(self) -> dict[str, float]:
        """Return the bytes of a row, its indexes included, once vacuumed."""
        self._connection.execute("VACUUM FULL message_logs")
        row = self._connection.execute("SELECT pg_total_relation_size('message_logs')").fetchone()
        assert row is not None
        return {"bytes_per_message": row[0] / max(1, self._count("true"))}

    def _count(self, condition: str) -> int:
        row = self._connection.execute(f"SELECT count(*) FROM message_logs WHERE {condition}").fetchone()
        assert row is not None
        return int(row[0])


def build_peer(source: Path) -> Path:
    """Return a built copy of the peer; it is built once for its sources and its lock file.

    Raises:
        BenchError: there is no peer or no Node; the text says which, in one line.
    """
    if not (source / "package-lock.json").is_file():
        raise BenchError(f"there is no peer in {source} (name its folder with --peer or PEER)")
    if not (shutil.which("node") and shutil.which("npm")):
        raise BenchError("the peer needs node and npm, and they are not on the PATH")
    files = [
        path for path in sorted(source.rglob("*")) if path.is_file() and not _NOT_SOURCES & {*path.parts}
    ]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    copy = FOLDER / f"peer-{digest}"
    built = copy / ".built"
    if not built.exists():
        print(f"  build the peer in {copy} (npm ci, npm run build; once)", flush=True)
        shutil.rmtree(copy, ignore_errors=True)
        for path in files:  # not copytree, which would copy the rights of a folder that cannot be written to
            target = copy / path.relative_to(source)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
        for arguments in (["ci", "--no-audit", "--no-fund"], ["run", "build"]):
            done = subprocess.run(["npm", *arguments], cwd=copy, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr or done.stdout).strip().splitlines()[-1:]
                raise BenchError(f"npm {arguments[0]} failed for the peer: {' '.join(last)}")
        built.touch()
    return copy


def start_peers(stand: Stand, folder: Path) -> list[MessageLogSystem]:
    """Start the peer as one process and as two; they share a database."""
    url = stand.database("peer")
    done = subprocess.run(
        ["node", "dist/migrate.js"],
        cwd=folder,
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise BenchError(f"the peer's migration failed:\n{done.stdout}{done.stderr}")
    peers = []
    for processes, script in ((1, "dist/main.js"), (2, "dist/cluster.js")):
        peer = MessageLogSystem(stand, f"peer x{processes}", url)
        environment = _environment(stand, peer, url) | {"NODE_ENV": "production", "NO_COLOR": "1"}
        environment |= {"WEB_CONCURRENCY": str(processes), "TWILIO_API_BASE": stand.fake_url}
        node = [shutil.which("node") or "node", script]
        peer.start(node, environment, log=stand.log(f"peer-{processes}"), cwd=folder)
        peers.append(peer)
    return peers


def start_textbook(stand: Stand) -> MessageLogSystem:
    """Start the textbook application: two processes of gunicorn with threads."""
    url = stand.database("textbook")
    textbook = MessageLogSystem(stand, "textbook Flask", url)
    environment = _environment(stand, textbook, url.replace("postgresql:", "postgresql+psycopg:"))
    flask = [sys.executable, "-m", "flask", "--app", "bench.textbook.app", "init-db"]
    subprocess.run(flask, cwd=ROOT, env=environment, check=True, capture_output=True)
    command = [sys.executable, "-m", "gunicorn", "--worker-class", "gthread", "--workers", "2"]
    command += ["--threads", str(_THREADS), "--keep-alive", "75", "--bind", f"127.0.0.1:{textbook.port}"]
    command += ["--no-control-socket", "bench.textbook.app:create_app()"]
    textbook.start(command, environment, log=stand.log("textbook"), cwd=ROOT)
    return textbook


def _environment(stand: Stand, system: MessageLogSystem, database_url: str) -> dict[str, str]:
    return os.environ | {
        "PORT": str(system.port),
        "DATABASE_URL": database_url,
        "APP_BASE_URL": system.base_url,
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": SENDER,
        "TWILIO_API_BASE_URL": stand.fake_url,
    }
