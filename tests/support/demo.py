"""`make demo` in a copy of the working tree, and what it leaves behind."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil

ROOT = Path(__file__).resolve().parents[2]
_NEEDED = (
    "Makefile",
    "Procfile",
    "celeryconfig.py",
    "requirements-demo.txt",
    "requirements-dev.txt",
    "wsgi.py",
    "deploy",
    "dev",
    "migrations",
    "simulator",
    "smsapp",
    "worker",
)
READY = "make reset"
"""A part of the last line that a demo prints before its processes' output."""


def copy_tree(folder: Path) -> Path:
    """Copy what the demo needs into the folder, with this environment as its .venv, and return the folder."""
    folder.mkdir()
    for name in _NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name)  # with its bytecode, so that nothing is compiled anew
        else:
            shutil.copy(source, folder / name)
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return folder


def environment(**changes: str) -> dict[str, str]:
    """Return this process's environment without variables that name a service or a Redis."""
    misleading = ("TWILIO_", "SMSAPP_", "APP_BASE_URL", "REDIS_URL", "DATABASE_URL", "PORT")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(misleading)}
    return {**kept, **changes}


@contextmanager
def demo(
    clone: Path, *arguments: str, command: tuple[str, ...] = (), changes: Mapping[str, str] | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """Run the demo, or the command, in the clone; it is killed if it still runs at the end."""
    process = subprocess.Popen(
        [*(command or (sys.executable, "-m", "dev.demo")), *arguments],
        cwd=clone,
        env=environment(**(changes or {})),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def processes_in(clone: Path) -> list[psutil.Process]:
    """Return the processes that run in the clone."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(clone)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def read_until(stream: IO[str] | None, text: str) -> str:
    """Return the stream's output up to the line with the text."""
    said = ""
    for line in stream or ():
        said += line
        if text in line:
            return said
    raise AssertionError(f"{text!r} did not appear in:\n{said}")
