"""Installing from a real registry: the lock files with the pips that people have, and the service as a package."""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import pytest
import urllib3

from dev.bootstrap import clean_environment, find_uv
from dev.ports import free_port
from tests.support.environment import ACCOUNT_SID, AUTH_TOKEN, SENDER
from tests.support.processes import StackProcess, answers

ROOT = Path(__file__).resolve().parents[3]

PIPS = {
    "Python 3.11.0": "22.3",
    "Debian 12": "23.0.1",
    "Python 3.12.0": "23.2.1",
    "Python 3.13.0": "24.2",
    "Python 3.14.0": "25.2",
}
"""The pip that the first release of each supported Python brings (`ensurepip`), and what Debian 12 has."""

OLDEST_PIP = PIPS["Python 3.11.0"]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def run(
    *command: str | Path, cwd: Path = ROOT, changes: Mapping[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment() | (changes or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def environment_with(python: Path, *packages: str | Path) -> None:
    """Install packages into an environment, with uv if that is there: pip takes a minute for what uv does in seconds.

    Without a registry there is nothing to test: skipped, in one line; but not where CI is set.
    """
    uv = find_uv()
    pip = [uv, "pip", "install", "--python", python] if uv else [python, "-m", "pip", "install"]
    done = run(*pip, "--quiet", *packages)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip("no package registry answers here, so installing cannot be tried")
    assert done.returncode == 0, done.stdout


def new_environment(folder: Path) -> Path:
    """Make an environment with the pip that this Python brings, and return its interpreter."""
    made = run(sys.executable, "-m", "venv", folder)
    assert made.returncode == 0, made.stdout
    return folder / "bin" / "python"


# --- The lock files


MakePip = Callable[[str], Path]


@pytest.fixture(scope="session")
def with_pip(tmp_path_factory: pytest.TempPathFactory) -> MakePip:
    """Make an environment with a version of pip, once for each, and return its interpreter."""

    @cache
    def make(version: str) -> Path:
        python = new_environment(tmp_path_factory.mktemp("pip") / "venv")
        environment_with(python, f"pip=={version}")
        return python

    return make


@pytest.mark.parametrize(
    ("version", "lock_file"),
    [
        pytest.param(OLDEST_PIP, "requirements.txt", id="the oldest"),
        pytest.param(OLDEST_PIP, "requirements-dev.txt", id="its development", marks=pytest.mark.deep),
        *(
            pytest.param(version, "requirements.txt", id=whose, marks=pytest.mark.deep)
            for whose, version in PIPS.items()
            if version != OLDEST_PIP
        ),
    ],
)
def test_the_lock_files_install_with_the_pip_that_is_there(
    with_pip: MakePip, version: str, lock_file: str
) -> None:
    """A dry run downloads, compares the hashes and resolves; only the copying is left out."""
    options = ["--quiet", "--dry-run", "--ignore-installed", "--only-binary", ":all:"]

    done = run(
        with_pip(version), "-m", "pip", "install", *options, "--require-hashes", "-r", ROOT / lock_file
    )

    assert done.returncode == 0, done.stdout


# --- The package


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `pip install .` builds, from a copy of the files that belong to the project."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in project_files():
        target = folder / "source" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    python = new_environment(folder / "venv")
    environment_with(python, "setuptools>=77", "wheel")
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder / "out"]

    done = run(python, "-m", "pip", "wheel", *options, ".", cwd=folder / "source")

    assert done.returncode == 0, done.stdout
    return next((folder / "out").glob("*.whl"))


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment that holds the package and the versions that are locked."""
    folder = tmp_path_factory.mktemp("installed")
    pins = re.findall(r"^[a-z0-9._-]+==\S+", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    (folder / "constraints.txt").write_text("\n".join(pins))
    python = new_environment(folder / "venv")
    environment_with(python, "--constraint", folder / "constraints.txt", f"{wheel}[simulator]")
    return python


def project_files(*folders: str) -> list[str]:
    """Return the files that git has, or would take."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", *folders]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.split("\0") if name and (ROOT / name).exists()]


def service_environment(port: int) -> dict[str, str]:
    return {
        "APP_BASE_URL": f"http://127.0.0.1:{port}",
        "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
        "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
        "TWILIO_PHONE_NUMBER": SENDER,
        "REDIS_URL": f"redis://127.0.0.1:{free_port()}/0",  # nobody
        "BIND_HOST": "127.0.0.1",
        "PORT": str(port),
        "WEB_CONCURRENCY": "1",
    }


def test_the_package_holds_whatever_the_service_needs(wheel: Path) -> None:
    code = project_files("smsapp", "worker", "simulator", "wsgi.py", "celeryconfig.py")
    moved = [f"smsapp/{name}" for name in project_files("migrations", "deploy")]
    of_compose = {"simulator/auth_token.txt", "smsapp/deploy/Caddyfile", "smsapp/deploy/make-secrets"}

    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}

    assert packed == {*code, *moved} - of_compose


@pytest.mark.deep
def test_the_installed_package_prepares_a_database_and_serves(installed: Path, tmp_path: Path) -> None:
    port = free_port()
    environment = clean_environment() | service_environment(port)

    helped = run(installed, "-m", "smsapp", "--help", cwd=tmp_path)
    script = run(installed.parent / "smsapp", "--version", cwd=tmp_path)
    upgraded = run(installed, "-m", "smsapp", "db", "upgrade", cwd=tmp_path, changes=environment)
    worker = run(installed, "-c", "import worker.app, worker.tasks", cwd=tmp_path, changes=environment)
    simulator = run(installed, "-m", "simulator", "--help", cwd=tmp_path)

    for done in (helped, script, upgraded, worker, simulator):
        assert done.returncode == 0, done.stdout
    command = f"{installed} -m gunicorn -c python:smsapp.deploy.gunicorn wsgi:app"
    web = StackProcess("web", command, tmp_path, environment, answers(f"http://127.0.0.1:{port}/readyz"))
    web.start()
    try:
        for path in ("/docs", "/openapi.json", "/static/docs.js"):
            assert urllib3.request("GET", f"http://127.0.0.1:{port}{path}").status == 200, path
    finally:
        web.stop()
