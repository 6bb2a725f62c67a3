"""Make .venv and install a locked profile into it: `python dev/bootstrap.py demo|dev`.

The first thing a newcomer runs, so it needs nothing but Python: it uses uv if the machine has it, else fetches uv's
wheel, else falls back to pip. A stamp in .venv remembers what was installed, so that the next run does nothing and
needs no network; one that was interrupted starts afresh.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK_FILES = {"demo": "requirements-demo.txt", "dev": "requirements-dev.txt"}
SATISFIED_BY = {"demo": ("demo", "dev"), "dev": ("dev",)}  # dev holds all that demo needs
OLDEST_PYTHON = (3, 11)

_PYTHON_FOR_DEBIAN = """\
{python} cannot make virtual environments: its `ensurepip` module is missing.
On Debian and Ubuntu it is a package of its own:

    apt-get install python3-venv

or install uv (https://docs.astral.sh/uv/), then run the same command again."""


class SetupError(Exception):
    """The environment cannot be made; the text tells the reader what to do."""


# --- What is installed already


def digest(lock_file: Path) -> str:
    """Return a digest of the lock file's content."""
    return hashlib.sha256(lock_file.read_bytes()).hexdigest()


class Stamp:
    """What .venv holds: written once it is complete, removed before it is changed.

    A file `.installing` stands while a set-up runs; left behind, it marks an interrupted one.
    """

    def __init__(self, venv: Path) -> None:
        self._venv = venv
        self._file = venv / ".installed.json"
        self._marker = venv / ".installing"

    @property
    def beyond_use(self) -> bool:
        """Whether there is a .venv that is unusable: interrupted, or its Python is gone or too old."""
        if not self._venv.exists():
            return False
        python_works = venv_python(self._venv).exists()  # it is a link, and False when its target is gone
        return self._marker.exists() or not python_works or environment_python(self._venv) < OLDEST_PYTHON

    def satisfies(self, profile: str, digests: Mapping[str, str]) -> bool:
        """Return whether the profile, as locked now, is installed for this environment's Python."""
        if self.beyond_use:
            return False
        try:
            installed = json.loads(self._file.read_text())
        except (OSError, ValueError):
            return False
        if installed.get("python") != list(environment_python(self._venv)):
            return False
        return any(installed.get(name) == digests[name] for name in SATISFIED_BY[profile])

    def begin(self) -> None:
        """Mark .venv as being made or changed."""
        self._venv.mkdir(exist_ok=True)
        self._marker.touch()
        self._file.unlink(missing_ok=True)

    def finish(self, profile: str, lock_digest: str) -> None:
        """Record what .venv holds now."""
        self._file.write_text(json.dumps({"python": environment_python(self._venv), profile: lock_digest}))
        self._marker.unlink()


def venv_python(venv: Path) -> Path:
    """Return the environment's interpreter."""
    return venv / "bin" / "python"


def environment_python(venv: Path) -> tuple[int, ...]:
    """Return the Python version that the environment was made for, such as (3, 12); () if unknown."""
    config = venv / "pyvenv.cfg"
    text = config.read_text() if config.exists() else ""
    version = re.search(r"^version(?:_info)? *= *(\d+)\.(\d+)", text, re.MULTILINE)  # venv's name, uv's name
    return tuple(map(int, version.groups())) if version else ()


# --- Installing


def clean_environment(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment for pip and uv: nothing leads outside .venv, and uv obeys pip's settings."""
    misleading = {
        "PYTHONHOME",
        "PYTHONPATH",
        "PIP_USER",
        "PIP_TARGET",
        "PIP_PREFIX",
        "PIP_REQUIRE_VIRTUALENV",
    }
    environment = {name: value for name, value in environ.items() if name not in misleading}
    for theirs, ours in {
        "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
        "PIP_EXTRA_INDEX_URL": "UV_INDEX",
        "PIP_FIND_LINKS": "UV_FIND_LINKS",
        "PIP_CERT": "SSL_CERT_FILE",
    }.items():
        if environment.get(theirs):
            environment.setdefault(ours, environment[theirs])
    return {**environment, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "VIRTUAL_ENV": str(VENV)}


def run(*command: str | Path) -> None:
    """Run a command, showing its output only if it fails.

    Raises:
        SetupError: it failed; the text is its output.
    """
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise SetupError(f"$ {' '.join(map(str, command))}\n{done.stdout}{done.stderr}".rstrip())


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print the name of a step while it runs, and then how long it took."""
    print(f"  {what} … ", end="", flush=True)
    started = time.monotonic()
    try:
        yield
    except BaseException:
        print("failed", flush=True)
        raise
    print(f"{time.monotonic() - started:.1f} s", flush=True)


def make_venv(uv: str | None) -> None:
    """Create .venv with this Python; uv needs no ensurepip for it."""
    if uv is not None:
        with suppress(SetupError):
            run(uv, "venv", "--quiet", "--allow-existing", "--python", sys.executable, VENV)
            return
    try:
        run(sys.executable, "-m", "venv", VENV)
    except SetupError as error:
        if "ensurepip" in str(error) or "No module named venv" in str(error):
            raise SetupError(_PYTHON_FOR_DEBIAN.format(python=sys.executable)) from error
        raise


def find_uv() -> str | None:
    """Return a uv that runs: the one on the PATH, or the one fetched earlier."""
    for candidate in (shutil.which("uv"), str(VENV / "bin" / "uv")):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    return None


def fetch_uv() -> str | None:
    """Install the pinned uv into .venv; None if there is none for this platform or no pip to fetch it."""
    try:
        run(venv_python(VENV), "-m", "pip", "install", "--require-hashes", "-r", ROOT / "requirements-uv.txt")
    except SetupError:
        return None
    return find_uv()


def install(lock_file: Path) -> None:
    """Install the lock file, by uv if that works, else by pip."""
    uv = find_uv()
    if uv is None:
        with step("fetch uv, to install faster"):
            uv = fetch_uv()
    if uv is not None:
        try:
            with step(f"install {lock_file.name} with uv"):
                run(uv, "pip", "install", "--require-hashes", "--python", venv_python(VENV), "-r", lock_file)
                return
        except SetupError as error:
            print(f"{error}\n  uv did not manage; pip will try", flush=True)
    with step(f"install {lock_file.name} with pip"):
        run(venv_python(VENV), "-m", "ensurepip")  # an environment made by uv has no pip
        run(venv_python(VENV), "-m", "pip", "install", "--require-hashes", "-r", lock_file)


# --- The whole


@contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let one set-up run per clone; this very file is the lock, since it is always there."""
    with Path(__file__).open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            with step("wait for another set-up of this folder"):
                fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def ensure(profile: str) -> None:
    """Make .venv hold what the profile's lock file says.

    Raises:
        SetupError: the set-up failed; the text says why.
    """
    digests = {name: digest(ROOT / file) for name, file in LOCK_FILES.items()}
    stamp = Stamp(VENV)
    if stamp.satisfies(profile, digests):
        return
    if os.pathsep in str(VENV):
        raise SetupError(
            f"a virtual environment cannot live in a folder with {os.pathsep!r} in its path: {ROOT}"
        )
    print(f"Setting up {VENV.name} (Python {sys.version.split()[0]})", flush=True)
    if stamp.beyond_use:
        with step("remove an environment that is incomplete or too old"):
            shutil.rmtree(VENV)
    exists = VENV.exists()
    stamp.begin()
    if not exists:
        with step("make the virtual environment"):
            make_venv(shutil.which("uv"))
    install(ROOT / LOCK_FILES[profile])
    stamp.finish(profile, digests[profile])


def main(arguments: list[str]) -> int:
    """Ensure the profile named on the command line."""
    if sys.version_info < OLDEST_PYTHON:
        print("smsapp needs Python 3.11 or newer; this is " + sys.version.split()[0], file=sys.stderr)
        return 1
    if len(arguments) != 1 or arguments[0] not in LOCK_FILES:
        print(f"usage: python dev/bootstrap.py {'|'.join(LOCK_FILES)}", file=sys.stderr)
        return 2
    try:
        with one_at_a_time():
            ensure(arguments[0])
    except (SetupError, OSError) as error:
        print(f"\nSet-up failed: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\nSet-up interrupted; the next run starts it afresh.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal that knows only ASCII
    sys.exit(main(sys.argv[1:]))
