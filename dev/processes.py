"""The processes of the Procfile under one runner, honcho, with the demo's needs on top.

Their output goes to var/log/<name>.log, and, once that is switched on, to the terminal with a prefix. They end with the
demo however it ends, and a Ctrl-C works during start-up as it does later.
"""

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from multiprocessing import Queue
from pathlib import Path
from typing import TextIO

from honcho.environ import parse_procfile
from honcho.manager import Manager
from honcho.printer import Message, Printer
from honcho.process import Process

from dev.child import die_with_parent
from dev.server_process import CHILD

STOP_SIGNALS = {signal.SIGINT, signal.SIGTERM}


def procfile_commands(procfile: Path) -> dict[str, str]:
    """Return each process's shell command by name."""
    return dict(parse_procfile(procfile.read_text()).processes)


class LogPrinter(Printer):  # type: ignore[misc]  # honcho has no types
    """Writes every line to the log file of its process, and to the terminal while `live`."""

    def __init__(self, folder: Path) -> None:
        super().__init__(sys.stdout)
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._files: dict[str, TextIO] = {}
        self.live = False

    def write(self, message: Message) -> None:
        """Take one line of output."""
        if message.name not in self._files:
            self._files[message.name] = self.log_file(message.name).open("w", encoding="utf-8")
        text = message.data.decode("utf-8", "replace") if isinstance(message.data, bytes) else message.data
        file = self._files[message.name]
        file.write(text)
        file.flush()
        if self.live:
            super().write(message)

    def log_file(self, name: str) -> Path:
        """Return where the output of a process goes."""
        return self._folder / f"{name}.log"

    def tail(self, suspect: str = "") -> str:
        """Return the end of every log, and more of the one under suspicion."""
        ends = {
            name: self.log_file(name).read_text("utf-8").splitlines()[-80 if name == suspect else -10 :]
            for name in self._files
        }
        return "\n".join(f"--- {name}\n" + "\n".join(end) for name, end in ends.items() if end)


class _GuardedProcess(Process):  # type: ignore[misc]  # honcho has no types
    """A process that the kernel ends when the demo dies, however it dies.

    Between the demo and the command stands honcho's own process, which reads the output: the demo's
    death ends that one, and its death the command.
    """

    cmd: str

    def run(self, events: "Queue[Message] | None" = None, ignore_signals: bool = False) -> None:
        """Run the command to its end; called by honcho in a process of its own."""
        for signum in STOP_SIGNALS:  # not SIG_IGN, which the command would inherit
            signal.signal(signum, lambda *_: None)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)
        die_with_parent(signal.SIGKILL, parent=0)
        # SIGKILL: Flower was seen to hang on SIGTERM once its Redis was gone.
        parent = ["--parent", str(os.getpid()), "--death-signal", str(int(signal.SIGKILL)), "--cwd", self.cwd]
        guard = [sys.executable, "-I", "-S", str(CHILD), *parent]
        self.cmd = "exec " + shlex.join([*guard, "--", "/bin/sh", "-c", f"exec {self.cmd}"])
        super().run(events, ignore_signals)


class Processes(Manager):  # type: ignore[misc]  # honcho has no types
    """Starts all, relays their output, and stops all when one ends or a signal comes."""

    def __init__(
        self, printer: LogPrinter, when_started: Callable[[], None], stopping: threading.Event
    ) -> None:
        """`when_started` gets a thread once every process exists, and `stopping` when it should end."""
        super().__init__(printer)
        self._process_ctor = _GuardedProcess
        self._tour = threading.Thread(target=when_started, name="tour", daemon=True)
        self._stopping = stopping
        self.ended = ""
        """The process that ended on its own and so ended the others."""
        self._signals = 0
        self._killed = False

    def add(self, name: str, command: str, environment: Mapping[str, str], cwd: Path) -> None:
        """Add a process to start."""
        self.add_process(name, command, env=dict(environment), cwd=str(cwd))

    def run(self) -> None:
        """Return when everything has ended; a second stop signal ends it by force."""
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # until our handler is in place
        try:
            self.loop()
        except BaseException:
            self.kill()
            for entry in self._processes.values():  # nobody reads what they report, so they would not end
                entry["process"].kill()
            raise
        self._tour.join(timeout=20)  # it sees that all is stopping

    def terminate(self) -> None:
        """Ask every process to end."""
        if not self._stopping.is_set():
            self.ended = next((name for name, entry in self._processes.items() if "returncode" in entry), "")
        self._stopping.set()
        super().terminate()

    def _start(self) -> None:
        """Start all, and replace honcho's signal handler.

        That one prints, which fails when it interrupts a print, and stops processes that honcho has not yet heard of,
        which fails too. Ours only sets a flag, and the loop acts within 0.1 s.
        """
        super()._start()
        for signum in STOP_SIGNALS:
            signal.signal(signum, self._take_note)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)

    def _take_note(self, _signum: int, _frame: object) -> None:
        self._signals += 1

    def _all_started(self) -> bool:
        """Called by the loop in each round."""
        if not super()._all_started():
            return False
        if self._tour.ident is None:
            self._tour.start()
        if self._signals > 1 and not self._killed:
            self._killed = True
            self.kill()
        elif self._signals:
            self.terminate()
        return True
