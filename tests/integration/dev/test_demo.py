"""`make demo`, in a copy of the working tree under an awkward name."""

import os
import signal
import time
from pathlib import Path

import pytest

from smsapp.cli.demo import FILE, running_demo
from tests.support.demo import READY, copy_tree, demo, processes_in, read_until

pytestmark = pytest.mark.slow


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A copy of what the demo needs, with this environment."""
    return copy_tree(tmp_path / "ün ï'cöde $x")


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
        said = read_until(process.stdout, READY)
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


def test_a_killed_demo_takes_its_processes_along_and_is_not_found_any_more(
    clone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with demo(clone) as process:
        read_until(process.stdout, READY)
        process.kill()

    deadline = time.monotonic() + 10
    while processes_in(clone) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert processes_in(clone) == []
    assert (clone / FILE).exists()
    monkeypatch.chdir(clone)
    assert running_demo() == {}  # nobody holds the file


def test_a_service_that_cannot_start_fails_the_demo_and_shows_why(clone: Path) -> None:
    (clone / "wsgi.py").write_text("raise RuntimeError('no service today')\n")

    with demo(clone, "--once") as process:
        said, _ = process.communicate(timeout=100)

    assert process.returncode == 1
    assert "no service today" in said
    assert processes_in(clone) == []
