"""One process of the service under test: a command of the Procfile, its environment and its logs."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import psutil
import urllib3

from dev.server_process import CHILD

_START_TIMEOUT_S = 90.0
_STOP_TIMEOUT_S = 40.0
_LOOK_EVERY_S = 0.02

Ready = Callable[["StackProcess"], bool]


class StackProcess:
    """A child process with children of its own, in a process group that lives and dies together.

    Each start writes a log file of its own: `log/<name>.<n>.log`.
    """

    def __init__(
        self, name: str, command: str, folder: Path, environment: Mapping[str, str], ready: Ready
    ) -> None:
        self.name = name
        self.command = command
        self.environment = dict(environment)
        self._folder = folder
        self._ready = ready
        self._starts = 0
        self._popen: subprocess.Popen[str] | None = None

    @property
    def popen(self) -> subprocess.Popen[str]:
        """The process as started last."""
        assert self._popen is not None, f"{self.name} was never started"
        return self._popen

    @property
    def pid(self) -> int:
        """The process id, also its group's."""
        return self.popen.pid

    @property
    def running(self) -> bool:
        """Whether it exists; a frozen one does."""
        return self._popen is not None and self._popen.poll() is None

    @property
    def log(self) -> Path:
        """The log file since its last start."""
        return self._folder / "log" / f"{self.name}.{self._starts}.log"

    def family(self) -> list[psutil.Process]:
        """The process, if it lives, and everything below it."""
        if not self.running:
            return []
        main = psutil.Process(self.pid)
        return [main, *main.children(recursive=True)]

    def start(self) -> None:
        """Start and return once it is ready."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start without waiting."""
        assert not self.running, f"{self.name} runs already"
        self._starts += 1
        self.log.parent.mkdir(exist_ok=True)
        # The parent-death signal is bound to the thread that starts the child, and only the main thread lasts.
        guarded = threading.current_thread() is threading.main_thread()
        guard = ["--parent", str(os.getpid() if guarded else 0), "--cwd", str(self._folder)]
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(CHILD),
                    *guard,
                    "--",
                    "/bin/sh",
                    "-c",
                    f"exec {self.command}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                text=True,
                start_new_session=True,
            )
        atexit.register(self.kill)

    def wait_until_ready(self) -> None:
        """Return once the process is ready.

        Raises:
            RuntimeError: it ended or did not get ready in time; the text ends with its log.
        """
        deadline = time.monotonic() + _START_TIMEOUT_S
        while self.running and time.monotonic() < deadline:
            if self._ready(self):
                return
            time.sleep(_LOOK_EVERY_S)
        tail = "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-20:])
        raise RuntimeError(f"{self.name} did not get ready:\n{tail}")

    def ask_to_stop(self) -> None:
        """Send SIGTERM and do not wait."""
        if self.running:
            self.popen.send_signal(signal.SIGTERM)

    def stop(self) -> None:
        """Ask it to end and return once it has; after a long wait, kill it and raise.

        Raises:
            RuntimeError: it had to be killed.
        """
        self.ask_to_stop()
        try:
            self._wait(_STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise RuntimeError(f"{self.name} did not end within {_STOP_TIMEOUT_S} s of SIGTERM") from None

    def kill(self) -> None:
        """End it and its children at once, and return when all are gone."""
        family = self.family()
        if family:
            os.killpg(self.pid, signal.SIGKILL)
            self._wait(_STOP_TIMEOUT_S)
            psutil.wait_procs(family[1:], timeout=_STOP_TIMEOUT_S)
        atexit.unregister(self.kill)

    def pause(self) -> None:
        """Freeze it and its children."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.killpg(self.pid, signal.SIGCONT)

    def _wait(self, timeout_s: float) -> None:
        if self._popen is not None:
            self._popen.wait(timeout_s)
        atexit.unregister(self.kill)


def says(text: str) -> Ready:
    """A process that is ready when it has printed this."""
    return lambda process: text in process.log.read_text("utf-8", "replace")


def answers(url: str) -> Ready:
    """A process that is ready when this address answers 200."""

    def ready(_process: StackProcess) -> bool:
        try:
            # An open connection would keep a server from ending.
            closing = {"Connection": "close"}
            return urllib3.request("GET", url, headers=closing, timeout=1.0, retries=False).status == 200
        except urllib3.exceptions.HTTPError:
            return False

    return ready
