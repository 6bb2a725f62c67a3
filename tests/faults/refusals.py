"""Faults in which Redis or PostgreSQL is there and says no, and what the service says of it meanwhile."""

import json
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
from redis import Redis

from tests.faults.load import Load
from tests.support.stack import Stack

_HOLD_S = 10.0
_LOOK_EVERY_S = 0.25
_WELL_WITHIN_S = 10.0
_DISK_MB = 160
_SHARE = 0.2


class SmallDiskMissing(Exception):
    """This machine gives us no small file system; the text says why."""


def demote_redis(stack: Stack, load: Load) -> str:
    """Make Redis the replica of a server that is not there, and promote it again."""
    with Redis.from_url(stack.redis.url) as redis, _witness(stack, load, "redis", {"read_only"}) as witness:
        redis.execute_command("REPLICAOF", "127.0.0.1", "1")
        try:
            witness.look()
        finally:
            redis.execute_command("REPLICAOF", "NO", "ONE")
    return witness.report


def fill_redis(stack: Stack, load: Load) -> str:
    """Leave Redis no memory for anything new, and take the limit away again."""
    with (
        Redis.from_url(stack.redis.url) as redis,
        _witness(stack, load, "redis", {"out_of_memory"}) as witness,
    ):
        redis.config_set("maxmemory", 1)
        try:
            witness.look()
        finally:
            redis.config_set("maxmemory", 0)
    return witness.report


def pause_clients_of_redis(stack: Stack, load: Load) -> str:
    """Let Redis take connections and commands, and answer none."""
    with (
        Redis.from_url(stack.redis.url) as redis,
        _witness(stack, load, "redis", {"TimeoutError"}) as witness,
    ):
        redis.execute_command("CLIENT", "PAUSE", int(_HOLD_S * 1000) + 1000, "ALL")
        witness.look()
        redis.execute_command("CLIENT", "UNPAUSE")
    return witness.report


def make_postgres_read_only(stack: Stack, load: Load) -> str:
    """Make every connection read-only, new ones included."""
    with _administrator(stack) as admin, _witness(stack, load, "database", {"read_only"}) as witness:
        _set_read_only(admin)
        try:
            witness.look()
        finally:
            _reset_read_only(admin)
    return witness.report


def fail_postgres_over(stack: Stack, load: Load) -> str:
    """Make the open connections read-only, for good: only new ones can write, as after a failover."""
    with _administrator(stack) as admin, _witness(stack, load, "database", {"read_only", "ok"}) as witness:
        admin.execute("ALTER ROLE postgres SET default_transaction_read_only = off")
        _set_read_only(admin)
        try:
            witness.look()
            witness.must_be_well()
        finally:
            _reset_read_only(admin)
            admin.execute("ALTER ROLE postgres RESET default_transaction_read_only")
    return witness.report


def end_connections_again_and_again(stack: Stack, load: Load) -> str:
    """End every connection to the database, three times a second."""
    words = {"ok", "shutting_down", "OperationalError"}
    with _administrator(stack) as admin, _witness(stack, load, "database", words) as witness:
        end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
        witness.look(lambda: admin.execute(end, [stack.folder.name]))
    return witness.report


def fill_the_disk_of_postgres(stack: Stack, load: Load) -> str:
    """Leave PostgreSQL's disk, its log's included, without a free byte."""
    assert stack.postgres is not None
    filler = stack.postgres.dir.parent / "filler"
    with _witness(stack, load, "database", {"disk_full"}) as witness:
        _fill(filler)
        try:
            witness.look()
        finally:
            filler.unlink()
            if not stack.postgres.running:  # without space for its log it may end
                stack.postgres.start()
    return witness.report


@contextmanager
def small_disk() -> Iterator[Path]:
    """Mount a small file system in memory, and give its folder.

    Raises:
        SmallDiskMissing: we may not mount one: it takes root with CAP_SYS_ADMIN.
    """
    folder = Path(tempfile.mkdtemp(prefix="smsapp-disk-"))
    options = f"size={_DISK_MB}m,mode=755"
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", options, "smsapp-disk", str(folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        if done.returncode:
            raise SmallDiskMissing(f"no small file system can be mounted here: {done.stderr.strip()}")
        yield folder
    finally:
        if not done.returncode:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        folder.rmdir()


class _Witness:
    """Asks the service how it is while something refuses, and judges what it heard."""

    def __init__(self, stack: Stack, dependency: str, words: Collection[str]) -> None:
        self._stack = stack
        self._dependency = dependency
        self._words = words
        self._heard: Counter[str] = Counter()
        self._doctor = ""
        self._well_s = 0.0
        self._processes = {name: _pids(stack, name) for name in ("web", *stack.workers, "beat", "flower")}

    def look(self, again: Callable[[], object] | None = None) -> None:
        """Ask `/readyz` for a while, and `doctor` once; do something before each look."""
        doctor = self._stack.launch_cli("doctor")
        deadline = time.monotonic() + _HOLD_S
        while time.monotonic() < deadline:
            if again is not None:
                again()
            self._heard[self._readyz()] += 1
            time.sleep(_LOOK_EVERY_S)
        said, _ = doctor.communicate(timeout=60)
        lines = [line for line in said.splitlines() if self._dependency in line.split(":")[0]]
        self._doctor = lines[0] if lines else said.strip()

    def must_be_well(self) -> None:
        """Wait until `/readyz` is all well."""
        began = time.monotonic()
        self._stack.wait_until(lambda: self._readyz().startswith("200 ok"), _WELL_WITHIN_S)
        self._well_s = time.monotonic() - began

    def judge(self) -> None:
        """Check that the refusal was named, that nothing else was said, and that no process ended.

        Raises:
            AssertionError: something else happened.
        """
        states = {line.rpartition(":")[2] for line in self._heard}
        assert states <= {*self._words, "ok"}, f"/readyz said {dict(self._heard)}"
        assert states & set(self._words), f"/readyz said {dict(self._heard)}"
        refused = set(self._words) - {"ok"}
        assert "ok" in self._words or any(word in self._doctor for word in refused), self._doctor
        for name, pids in self._processes.items():
            assert pids <= _pids(self._stack, name), f"{name} has ended, or one of its processes"
        answers = _answers_to_callbacks(self._stack)
        assert answers.keys() <= {204, 503}, f"callbacks were answered {dict(answers)}"

    @property
    def report(self) -> str:
        """What was said, in one line."""
        heard = ", ".join(f"{line} ({count}x)" for line, count in self._heard.most_common())
        answers = ", ".join(f"{status} ({n}x)" for status, n in _answers_to_callbacks(self._stack).items())
        return (
            f"readyz: {heard}; well after {self._well_s:.1f} s; doctor: {self._doctor}; callbacks: {answers}"
        )

    def _readyz(self) -> str:
        answer = self._stack.request("GET", "/readyz")
        told = json.loads(answer.data)
        return f"{answer.status} {told['status']} {self._dependency}:{told['checks'][self._dependency]}"


@contextmanager
def _witness(stack: Stack, load: Load, dependency: str, words: Collection[str]) -> Iterator[_Witness]:
    """Break something in the body, which must also mend it; afterwards everything must be well."""
    stack.start("flower")
    load.wait_for_share(_SHARE)
    witness = _Witness(stack, dependency, words)
    yield witness
    witness.must_be_well()
    witness.judge()


def _pids(stack: Stack, name: str) -> set[int]:
    return {process.pid for process in stack.process(name).family()}


def _answers_to_callbacks(stack: Stack) -> Counter[int]:
    made = [callback["http_status"] for entry in stack.ledger() for callback in entry["callbacks"]]
    return Counter(status for status in made if status is not None)


@contextmanager
def _administrator(stack: Stack) -> Iterator["psycopg.Connection[tuple[object, ...]]"]:
    """Give a connection of the server's that none of the faults ends."""
    assert stack.postgres is not None
    address = stack.postgres.url().replace("+psycopg", "")
    with psycopg.connect(
        address, autocommit=True, options="-cdefault_transaction_read_only=off"
    ) as connection:
        yield connection


def _set_read_only(admin: "psycopg.Connection[tuple[object, ...]]") -> None:
    admin.execute("ALTER SYSTEM SET default_transaction_read_only = on")
    admin.execute("SELECT pg_reload_conf()")


def _reset_read_only(admin: "psycopg.Connection[tuple[object, ...]]") -> None:
    admin.execute("ALTER SYSTEM RESET default_transaction_read_only")
    admin.execute("SELECT pg_reload_conf()")


def _fill(filler: Path) -> None:
    with filler.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12):
            block = bytes(size)
            try:
                while file.write(block) == size:
                    pass
            except OSError:
                continue
