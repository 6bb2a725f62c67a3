"""What `make demo` shows: set up, start everything, follow one message, and hand over to the reader.

Environment variables alone configure the processes. The shell's own variables for Twilio and the database are left out,
so that a demo never reaches a real account.
"""

import fcntl
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event

from dev import secrets_file
from dev.bootstrap import step
from dev.ports import PortClaims
from dev.processes import LogPrinter, Processes, procfile_commands
from dev.redis_server import RedisServer, redis_binary, redis_from_environment
from dev.server_process import ServerError
from dev.tour import RECIPIENT, Service, TourError, send_and_follow, wait_for
from dev.var_folder import ROOT, VAR
from smsapp.cli import demo as beside
from smsapp.config import Settings
from smsapp.servers.secret_files import FILED

SECRETS = VAR / "dev.env"
LOGS = VAR / "log"
DATABASE = VAR / "smsapp.db"
MIGRATIONS = ROOT / "migrations" / "versions"
ENVIRONMENT = ROOT / beside.FILE
PREFERRED_PORTS = {"web": 8000, "flower": 5555, "simulator": 8900}
OURS = ("web", "worker", "beat", "flower", "simulator")  # Redis is started apart: it stops last
NOT_AWAITED = {"beat", "flower"}
"""They leave the cores to the others, which a newcomer waits for."""

START_DEADLINE_S = 60
_REVISION = re.compile(r'^revision = "(.+)"', re.MULTILINE)
_FOLLOWS = re.compile(r'^down_revision = "(.+)"', re.MULTILINE)


class DemoError(Exception):
    """The demo cannot go on; the text says why."""


@dataclass
class Demo:
    """One run: where things are, and how it went."""

    once: bool
    ports: dict[str, int]
    api_key: str
    printer: LogPrinter = field(default_factory=lambda: LogPrinter(LOGS))
    stopping: Event = field(default_factory=Event)
    delivered: bool = False
    failure: str = ""

    def url(self, name: str) -> str:
        """Return the address of a process that listens."""
        return f"http://127.0.0.1:{self.ports[name]}"

    def tour(self) -> None:
        """Show one message's life cycle, then hand the terminal to the processes, or stop them."""
        try:
            with step("wait until the service is ready"):
                wait_for(self.url("simulator") + "/_health", self.stopping, START_DEADLINE_S)
                wait_for(self.url("web") + "/readyz", self.stopping, START_DEADLINE_S)
            print("\nOne message through the service:\n", flush=True)
            self.delivered = send_and_follow(Service(self.url("web"), self.api_key), self.stopping)
            print(flush=True)
            self.failure = "" if self.delivered else "the message was not delivered"
        except TourError as error:
            self.failure = "" if self.stopping.is_set() else str(error)
        if self.stopping.is_set():
            return
        if self.once or not self.delivered:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            print(self.summary(), flush=True)
            self.printer.live = True

    def summary(self) -> str:
        """Return what a newcomer needs next."""
        web = self.url("web")
        return f"""\
The service is running:

  API         {web}/docs
  Flower      {self.url("flower")}
  Simulator   {self.url("simulator")}/ledger  (what "Twilio" accepted)
  Key         {self.api_key}
  Logs        {LOGS.relative_to(ROOT)}/
  Environment {beside.FILE}  (found by commands in this folder: .venv/bin/python -m smsapp doctor)

Send one yourself:

  curl {web}/sms/send \\
    -H 'Authorization: Bearer {self.api_key}' -H 'Content-Type: application/json' \\
    -d '{{"to": "{RECIPIENT}", "body": "Hello"}}'

Answer it as the phone would:

  .venv/bin/python -m simulator inbound STOP

Ctrl-C stops everything. `make demo` goes on with the same data, `make reset` removes it.
"""


def preparation(environment: Mapping[str, str], *arguments: str) -> Iterator[str]:
    """Run `dev.prepare` and yield its lines as they come.

    Raises:
        DemoError: it failed; the text is what it said.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", "dev.prepare", *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        assert process.stderr is not None
        for line in process.stdout:
            yield line.strip()
        said = process.stderr.read()
    if process.returncode:
        raise DemoError(f"the database cannot be prepared:\n{said}")


def demo_settings(ports: Mapping[str, int], credentials: Mapping[str, str], redis_url: str) -> dict[str, str]:
    """Return what makes the processes, and commands beside them, this demo."""
    local = "127.0.0.1"
    given = {name: os.environ[name] for name in map(str.upper, Settings.model_fields) if name in os.environ}
    ours = {name: value for name, value in given.items() if not name.startswith("TWILIO_")}
    no_proxy = ",".join(filter(None, [os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), local]))
    web = f"http://{local}:{ports['web']}"
    return {
        "PUSH_ALLOW_HTTP": "true",  # consumers on this machine, which have neither certificate nor public address
        "PUSH_ALLOWED_NETWORKS": "127.0.0.0/8,::1/128",
        **ours,
        **{name: value for name, value in credentials.items() if name.startswith("TWILIO_")},
        "ENV": "development",  # the simulator's token is public
        "NO_PROXY": no_proxy,
        "no_proxy": no_proxy,
        "DATABASE_URL": "sqlite:///var/smsapp.db",  # relative: a folder's name may hold characters that a URL may not
        "REDIS_URL": redis_url,
        "APP_BASE_URL": web,
        "TWILIO_API_BASE_URL": f"http://{local}:{ports['simulator']}",
        "BIND_HOST": local,
        "PORT": str(ports["web"]),
        "FLOWER_ADDRESS": local,
        "FLOWER_PORT": str(ports["flower"]),
        "SIMULATOR_HOST": local,
        "SIMULATOR_PORT": str(ports["simulator"]),
        "SIMULATOR_INBOUND_URL": f"{web}/twilio/inbound",
        "SIMULATOR_SENT_MS": "300",  # slow enough to watch
        "SIMULATOR_FINAL_MS": "1000",
    }


def make_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of all processes."""
    files = {f"{name.upper()}_FILE" for name in FILED}  # what they name is set below
    others = os.environ.keys() - files
    bare = {name: os.environ[name] for name in others if not name.startswith("TWILIO_")}
    return {
        "LOG_FORMAT": "console",
        **bare,
        "PATH": f"{ROOT / '.venv' / 'bin'}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "PYTHONUNBUFFERED": "1",
        **settings,
    }


@contextmanager
def told_to_commands(settings: Mapping[str, str]) -> Iterator[None]:
    """Let commands in this folder find the demo, until it ends in whatever way (see `smsapp.cli.demo`)."""
    secrets_file.save(
        ENVIRONMENT, settings, "# The demo that runs now; `python -m smsapp` in this folder finds it."
    )
    with ENVIRONMENT.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            ENVIRONMENT.unlink(missing_ok=True)


@contextmanager
def redis() -> Iterator[str]:
    """Yield the URL of a Redis for the demo: REDIS_URL's if it answers, else one of our own."""
    url = redis_from_environment()
    if url is not None:
        print("  use the Redis at REDIS_URL")
        yield url
        return
    server = RedisServer(VAR / "redis")
    with step(f"start Redis ({Path(redis_binary()).name})"):
        server.start()
    try:
        yield server.url
    finally:
        server.stop()


def prepare(environment: Mapping[str, str], credentials: dict[str, str]) -> str:
    """Bring the database up to date and return an API key for it, the same one every time."""
    needs_key = not DATABASE.exists() or "DEMO_API_KEY" not in credentials
    with step("bring the database up to date"):
        if not needs_key and is_up_to_date(DATABASE):
            return credentials["DEMO_API_KEY"]
        lines = preparation(environment, *(["--key"] if needs_key else []))
        next(lines)
    if needs_key:
        with step("make an API key"):
            credentials["DEMO_API_KEY"] = next(lines)
            secrets_file.save(SECRETS, credentials)
    for _ in lines:  # to its end
        pass
    return credentials["DEMO_API_KEY"]


def is_up_to_date(database: Path) -> bool:
    """Return whether the tables are as the latest migration leaves them; asking Alembic takes half a second."""
    with closing(sqlite3.connect(database)) as connection:
        try:
            found = connection.execute("SELECT version_num FROM alembic_version").fetchall()
        except sqlite3.Error:
            return False
    return found == [(latest_revision(),)]


def latest_revision() -> str:
    """Return the revision that no other migration follows."""
    sources = [file.read_text() for file in MIGRATIONS.glob("*.py")]
    revisions = {match[1] for source in sources if (match := _REVISION.search(source))}
    followed = {match[1] for source in sources if (match := _FOLLOWS.search(source))}
    (latest,) = revisions - followed
    return latest


def run(*, once: bool) -> int:
    """Show the demo and return its exit status."""
    began = time.monotonic()
    try:
        delivered = show(once=once)
    except (DemoError, ServerError) as error:
        print(f"\nThe demo failed: {error}", file=sys.stderr)
        return 1
    print(f"Stopped after {time.monotonic() - began:.1f} s.")
    return 0 if delivered or not once else 130


def show(*, once: bool) -> bool:
    """Start everything, follow one message, and return whether it was delivered when all has stopped.

    Raises:
        DemoError: it ended for another reason than success or a signal.
    """
    commands = {name: line for name, line in procfile_commands(ROOT / "Procfile").items() if name in OURS}
    credentials = secrets_file.load_or_make(SECRETS)
    claims = PortClaims()
    ports = {name: claims.claim(port) for name, port in PREFERRED_PORTS.items() if name in commands}
    with redis() as redis_url:
        settings = demo_settings(ports, credentials, redis_url)
        environment = make_environment(settings)
        demo = Demo(once, ports, prepare(environment, credentials))
        processes = Processes(demo.printer, demo.tour, demo.stopping)
        for name, command in commands.items():
            processes.add(
                name, f"nice -n 10 {command}" if name in NOT_AWAITED else command, environment, ROOT
            )
        print(f"  start {', '.join(commands)}", flush=True)
        with told_to_commands({**settings, beside.API_KEY: demo.api_key}):
            processes.run()
    if demo.failure or processes.ended:
        reason = demo.failure or f"{processes.ended} ended on its own"
        raise DemoError(f"{reason}\n{demo.printer.tail(processes.ended)}\n\nThe whole logs are in {LOGS}.")
    return demo.delivered
