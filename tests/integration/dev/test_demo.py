"""`make demo`, in a copy of the working tree under an awkward name."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import psutil
import pytest

ROOT = Path(__file__).resolve().parents[3]
NEEDED = (
    "Procfile",
    "celeryconfig.py",
    "wsgi.py",
    "deploy",
    "dev",
    "migrations",
    "simulator",
    "smsapp",
    "worker",
)

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what the demo needs, with this environment."""
    folder = tmp_path / "ün ï'cöde $x"
    folder.mkdir()
    for name in NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)
    (folder / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return folder


@contextmanager
def demo(clone: Path, *arguments: str) -> Iterator["subprocess.Popen[str]"]:
    environment = {name: value for name, value in os.environ.items() if name != "REDIS_URL"}
    process = subprocess.Popen(
        [sys.executable, "-m", "dev.demo", *arguments],
        cwd=clone,
        env=environment,
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
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd().startswith(str(clone)) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def read_until(stream: IO[str], text: str) -> str:
    said = ""
    for line in stream:
        said += line
        if text in line:
            return said
    raise AssertionError(f"{text!r} did not appear in:\n{said}")


def test_once_shows_a_message_on_its_way_and_leaves_nothing_running(clone: Path) -> None:
    with demo(clone, "--once") as process:
        said, _ = process.communicate(timeout=100)

    assert process.returncode == 0, said
    assert [word for word in said.split() if word in {"pending", "queued", "sent", "delivered"}] == [
        "pending",
        "queued",
        "sent",
        "delivered",
    ]
    assert processes_in(clone) == []


def test_an_interrupt_stops_everything_and_a_second_demo_is_refused_meanwhile(clone: Path) -> None:
    with demo(clone) as process:
        assert process.stdout is not None
        said = read_until(process.stdout, "make reset")
        with demo(clone, "--once") as second:
            refusal, _ = second.communicate(timeout=30)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does
        rest, _ = process.communicate(timeout=30)

    assert "curl http://127.0.0.1:" in said
    assert second.returncode == 1
    assert "running already" in refusal
    assert process.returncode == 0, rest
    assert "Traceback" not in rest
    assert processes_in(clone) == []


def test_a_killed_demo_takes_its_processes_along(clone: Path) -> None:
    with demo(clone) as process:
        assert process.stdout is not None
        read_until(process.stdout, "make reset")
        process.kill()

    deadline = time.monotonic() + 10
    while processes_in(clone) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_in(clone) == []


def test_a_service_that_cannot_start_fails_the_demo_and_shows_why(clone: Path) -> None:
    (clone / "wsgi.py").write_text("raise RuntimeError('no service today')\n")

    with demo(clone, "--once") as process:
        said, _ = process.communicate(timeout=100)

    assert process.returncode == 1
    assert "no service today" in said
    assert processes_in(clone) == []
