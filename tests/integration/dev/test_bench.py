"""The benchmark still runs: it reaches into tables and processes, and nobody runs it as often as the tests."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.stack import ROOT


@pytest.mark.deep
def test_a_tiny_round_of_the_main_parts_runs(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "bench",
        "--quick",
        "--only",
        "callbacks,accepts,lives",
        "--peer",
        str(tmp_path),
    ]

    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=600)

    assert done.returncode == 0, done.stdout + done.stderr
    for figure in ("callbacks_64_lost", "accepts_50ms_64", "lives_50ms"):
        assert f"FIGURE name={figure} " in done.stdout
