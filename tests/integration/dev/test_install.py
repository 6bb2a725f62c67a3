"""Installing from the lock files with the pips that people have, from a real registry."""

import os
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

from dev.bootstrap import clean_environment

ROOT = Path(__file__).resolve().parents[3]

OLDEST_PIP = "22.3"
"""What Python 3.11.0 brings (`ensurepip`), the oldest that is supported; Debian 12 has 23.0.1."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MakePip = Callable[[str], list[str]]


def run(*command: str | Path, cwd: Path = ROOT) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env=clean_environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


@pytest.fixture(scope="session")
def pip_of(tmp_path_factory: pytest.TempPathFactory) -> MakePip:
    """Give the command of a pip of a version, in an environment of its own.

    Without a registry there is nothing to test: skipped, in one line; but not where CI is set.
    """

    @cache
    def make(version: str) -> list[str]:
        venv = tmp_path_factory.mktemp("pip") / version
        made = run(sys.executable, "-m", "venv", venv)
        assert made.returncode == 0, made.stdout
        python = str(venv / "bin" / "python")
        fetched = run(python, "-m", "pip", "install", "--quiet", f"pip=={version}")
        if fetched.returncode and not os.environ.get("CI"):
            pytest.skip("no package registry answers here, so the lock files cannot be tried with old pips")
        assert fetched.returncode == 0, fetched.stdout
        return [python, "-m", "pip"]

    return make


@pytest.mark.parametrize("lock_file", ["requirements.txt", "requirements-dev.txt"])
def test_the_lock_files_install_with_the_oldest_pip(pip_of: MakePip, lock_file: str) -> None:
    """A dry run downloads, compares the hashes and resolves; only the copying is left out."""
    options = ["--quiet", "--dry-run", "--ignore-installed", "--only-binary", ":all:"]

    done = run(*pip_of(OLDEST_PIP), "install", *options, "--require-hashes", "-r", ROOT / lock_file)

    assert done.returncode == 0, done.stdout
