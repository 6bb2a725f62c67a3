"""Processes under measurement: started with a log, and ended with the benchmark, however it ends."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from dev.server_process import CHILD
from dev.var_folder import ROOT

_STOP_PATIENCE_S = 30.0
_LOG_LINES = 15


class BenchError(Exception):
    """The benchmark cannot go on; the text says why."""


class Child:
    """One process with its descendants, in a session of its own: Ctrl-C reaches only us, and we stop it in order."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        log: Path,
        cwd: Path = ROOT,
    ) -> None:
        self.name = name
        self._log = log
        guard = [sys.executable, "-I", "-S", str(CHILD), "--parent", str(os.getpid())]
        guard += ["--death-signal", str(int(signal.SIGKILL)), "--cwd", str(cwd), "--"]
        with log.open("ab") as out:
            self._process = subprocess.Popen(
                [*guard, *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The root of its tree of processes."""
        return self._process.pid

    def check(self) -> None:
        """Raise BenchError with the end of its log if it has ended by itself."""
        if self._process.poll() is not None:
            raise BenchError(f"{self.name} ended with status {self._process.returncode}:\n{self.log_tail()}")

    def log_tail(self) -> str:
        """Return the last lines that it wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-_LOG_LINES:])

    def pause(self) -> None:
        """Freeze the process (not its children)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """Ask it to end, wait, and end by force what is left of its session."""
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            with suppress(ProcessLookupError):
                self.resume()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_PATIENCE_S)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


def wait_until(
    ready: Callable[[], bool], *, what: str, patience_s: float = 60.0, every_s: float = 0.05
) -> None:
    """Return once `ready` says so.

    Raises:
        BenchError: it did not in time.
    """
    deadline = time.monotonic() + patience_s
    while not ready():
        if time.monotonic() > deadline:
            raise BenchError(f"{what}: not within {patience_s:.0f} s")
        time.sleep(every_s)


def listens(port: int) -> bool:
    """Return whether something accepts connections on the port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_for_port(port: int, *children: Child) -> None:
    """Return once the port accepts connections; raises BenchError when a child ends before that."""

    def ready() -> bool:
        for child in children:
            child.check()
        return listens(port)

    wait_until(ready, what=f"{children[0].name} on port {port}")
