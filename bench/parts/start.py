"""How soon a newcomer and an operator can go on: commands, the web, a worker, and `make demo`, fresh and used.

Everything is measured in clones of the repository with an environment of their own: one of this commit, and one of
`--before`, if that is given.
"""

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.request import ProxyHandler, build_opener

from bench.children import BenchError, Child, wait_until
from bench.context import Context
from bench.results import Run
from bench.stand import Stand
from bench.traffic import ACCOUNT_SID, AUTH_TOKEN, SENDER
from dev.processes import procfile_commands
from dev.var_folder import ROOT

PART = "start"
COLUMNS = {
    "help_cpu_s": "--help, CPU s",
    "send_cpu_s": "send --help, CPU s",
    "web_s": "web ready, s",
    "worker_s": "worker ready, s",
    "cold_s": "demo delivers, fresh, s",
    "warm_s": "used, s",
}
_DELIVERED = b"  delivered  "
_DEMO_PATIENCE_S = 300.0
_LOOK_EVERY_S = 0.005

_http = build_opener(ProxyHandler({}))


class Clone:
    """One commit in a folder, and what is needed to run it."""

    def __init__(self, stand: Stand, name: str, commit: str) -> None:
        self.name = name
        self._stand = stand
        self._folder = stand.folder / name
        _git("clone", "--quiet", "--shared", str(ROOT), str(self._folder))
        _git("-C", str(self._folder), "checkout", "--quiet", commit)
        self._bin = self._folder / ".venv" / "bin"
        self._port = stand.port()
        self._environment = {
            "PATH": f"{self._bin}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "HOME": str(self._folder),
            "LANG": "C.UTF-8",
            "DATABASE_URL": "sqlite:///var/smsapp.db",
            "REDIS_URL": stand.redis_url(),
            "APP_BASE_URL": f"http://127.0.0.1:{self._port}",
            "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
            "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
            "TWILIO_PHONE_NUMBER": SENDER,
            "BIND_HOST": "127.0.0.1",
            "PORT": str(self._port),
            "WEB_CONCURRENCY": "1",
        }

    def measure(self) -> Run:
        """Start everything once, first as on a fresh machine, then with what that left behind."""
        cold_s = self._demo_s(fresh=True)
        commands = procfile_commands(self._folder / "Procfile")
        return Run(
            self.name,
            {
                "cold_s": cold_s,
                "warm_s": self._demo_s(fresh=False),
                "help_cpu_s": self._cpu_s("--help"),
                "send_cpu_s": self._cpu_s("send", "--help"),
                "web_s": self._ready_s("web", commands["web"], lambda _log: self._answers()),
                "worker_s": self._ready_s("worker", commands["worker"], lambda log: " ready." in log),
            },
        )

    def _demo_s(self, *, fresh: bool) -> float:
        """Return how long `make demo` takes to deliver its message; a fresh one has nothing but Python."""
        if fresh:
            for name in (".venv", "var", ".cache"):
                shutil.rmtree(self._folder / name, ignore_errors=True)
            for cache in self._folder.rglob("__pycache__"):
                shutil.rmtree(cache, ignore_errors=True)
        outside = _without_service(os.environ) | {"HOME": str(self._folder), "PIP_NO_CACHE_DIR": "1"}
        began = time.monotonic()
        log = self._stand.log(f"{self.name}-demo")
        log.unlink(missing_ok=True)
        with self._running("demo", "make demo ONCE=1", outside, log) as demo:
            _wait_for(demo, lambda: _DELIVERED in log.read_bytes())
            return time.monotonic() - began

    def _cpu_s(self, *arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [self._bin / "python", "-m", "smsapp", *arguments],
            cwd=self._folder,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            check=True,
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def _ready_s(self, name: str, command: str, ready: Callable[[str], bool]) -> float:
        log = self._stand.log(f"{self.name}-{name}")
        log.unlink(missing_ok=True)
        began = time.monotonic()
        with self._running(name, command, self._environment, log) as child:
            _wait_for(child, lambda: ready(log.read_text(errors="replace")))
            return time.monotonic() - began

    @contextmanager
    def _running(self, name: str, command: str, environment: Mapping[str, str], log: Path) -> Iterator[Child]:
        line = ["/bin/sh", "-c", f"exec {command}"]
        child = Child(f"{self.name}: {name}", line, environment, log=log, cwd=self._folder)
        try:
            yield child
        finally:
            child.stop()

    def _answers(self) -> bool:
        try:
            with _http.open(f"http://127.0.0.1:{self._port}/livez", timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def run(context: Context) -> None:
    """Measure this commit, and the one before in turns with it."""
    clones = [Clone(context.stand, "now", "HEAD")]
    if context.plan.before:
        clones.insert(0, Clone(context.stand, "before", context.plan.before))
    print(f"\n{PART}: {context.plan.rounds} rounds", flush=True)
    for _ in range(context.plan.rounds):
        for clone in clones:
            context.report.add(PART, clone.measure())
    context.report.print_table(PART, COLUMNS)
    units = {name: (f"start_{name.removesuffix('_s')}", "s") for name in COLUMNS}
    context.report.medians(PART, "now", units)


def _wait_for(child: Child, ready: Callable[[], bool]) -> None:
    def seen() -> bool:
        if ready():
            return True
        child.check()
        return False

    wait_until(seen, what=child.name, patience_s=_DEMO_PATIENCE_S, every_s=_LOOK_EVERY_S)


def _without_service(environ: Mapping[str, str]) -> dict[str, str]:
    names = (
        "TWILIO_",
        "SMSAPP_",
        "APP_BASE_URL",
        "REDIS_URL",
        "DATABASE_URL",
        "PORT",
        "PYTHON",
        "VIRTUAL_ENV",
    )
    return {name: value for name, value in environ.items() if not name.startswith(names)}


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise BenchError(f"git {' '.join(arguments)} failed:\n{done.stderr}")
