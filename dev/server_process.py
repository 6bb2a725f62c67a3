"""The common base of the development Redis and PostgreSQL: a child process on a port."""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from dev.ports import PortClaims

CHILD = Path(__file__).with_name("child.py")
_PORT_TRIES = 5


class ServerError(RuntimeError):
    """A development server is missing, did not start or did not stop."""


class ServerProcess:
    """One server as a child process that logs to a file and ends with this process.

    Not safe for use by two threads at once. The kernel ends the server with the *thread* that
    started it, so that guard is asked for only when the main thread starts it; a server started
    elsewhere is stopped at exit, but not when this process is killed.
    """

    name = "server"
    death_signal = signal.SIGTERM
    start_timeout_s = 20.0

    def __init__(self, directory: Path, port: int | None = None) -> None:
        self.dir = directory.resolve()
        self.dir.mkdir(parents=True, exist_ok=True)
        self.port = port or 0
        self.log = self.dir / f"{self.name}.log"
        self._port_is_ours_to_choose = port is None
        self._claims = PortClaims()
        self._process: subprocess.Popen[bytes] | None = None

    # What a subclass defines.

    def command(self) -> list[str]:
        """Return the command line; the first word is an absolute path."""
        raise NotImplementedError

    def ready(self) -> bool:
        """Return whether this very server answers now, not another one that took the port first."""
        raise NotImplementedError

    def wrapper_options(self) -> list[str]:
        """Return options for dev/child.py, such as another user."""
        return []

    # Life.

    @property
    def pid(self) -> int:
        """The server's process id; raises ServerError when it is not running."""
        if self._process is None:
            raise ServerError(f"{self.name} is not running")
        return self._process.pid

    @property
    def running(self) -> bool:
        """Whether the process exists; a paused one does."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> Self:
        """Return once the server answers.

        Raises:
            ServerError: it ended at once or did not answer in time; the text ends with its log.
        """
        if self.running:
            return self
        for _ in range(_PORT_TRIES):
            if self._port_is_ours_to_choose and not self.port:
                self.port = self._claims.claim_any()
            if self._start_once():
                return self
            if not self._port_is_ours_to_choose or not self._address_in_use():
                break
            self._claims.release()
            self.port = 0
        raise ServerError(f"{self.name} did not start:\n{self._log_tail()}")

    def wait(self) -> None:
        """Return when the server has ended by itself."""
        if self._process is not None:
            self._process.wait()

    def stop(self) -> None:
        """Ask the server to end, and end it by force after some seconds; its files stay."""
        self.end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL the server, as the kernel does when memory runs out."""
        self.end(signal.SIGKILL)

    def end(self, how: signal.Signals, timeout_s: float = 10.0) -> None:
        """Send a signal and return once the process is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self._close_at_exit)
        if process.poll() is None:
            process.send_signal(how)
            process.send_signal(signal.SIGCONT)  # a paused one would never see it
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Freeze the server: connections open, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    def restart(self) -> None:
        """Stop and start on the same port with the same files."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop, release the port, and remove any files outside `dir`."""
        self.stop()
        self._claims.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _start_once(self) -> bool:
        in_main_thread = threading.current_thread() is threading.main_thread()
        guard = ["--parent", str(os.getpid() if in_main_thread else 0)]
        guard += ["--death-signal", str(int(self.death_signal))]
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(CHILD),
                    *guard,
                    *self.wrapper_options(),
                    "--",
                    *self.command(),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C must reach only us; we stop the server in order
            )
        atexit.register(self._close_at_exit, os.getpid())
        if self._wait_until_ready():
            return True
        self.kill()
        return False

    def _wait_until_ready(self) -> bool:
        deadline = time.monotonic() + self.start_timeout_s
        while self.running and time.monotonic() < deadline:
            if self.ready():
                return True
            time.sleep(0.01)
        return False

    def _close_at_exit(self, owner: int) -> None:
        if os.getpid() == owner:  # not in a fork of ours, which inherits the exit handlers
            self.close()

    def _address_in_use(self) -> bool:
        return "in use" in self._log_tail()

    def _log_tail(self) -> str:
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
