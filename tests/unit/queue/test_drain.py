"""A drain's shift: one at a time per slot, never a wake-up lost, and patience with a database that is away."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from sqlalchemy.exc import IntegrityError, InterfaceError, OperationalError

from smsapp.queue import drain
from smsapp.queue.drain import MAX_SHIFT, drain_slot, retry_while_db_down, singleton_lock
from smsapp.queue.tasks import FLAG_TTL_MS, Task
from smsapp.runtime import Runtime

JOB = Task.TRACK_CALLBACKS
AWAY = OperationalError("SELECT 1", {}, Exception("the database system is shutting down"))


@dataclass
class Flags:
    """Remembers what is done to the flag, in order."""

    calls: list[tuple[str, Task, int]] = field(default_factory=list)
    broken: bool = False
    taken: bool = False
    renewed: threading.Event = field(default_factory=threading.Event)

    def wake(self, job: Task, slot: int = 0) -> bool:
        self.calls.append(("wake", job, slot))
        return not self.broken

    def lock(self, job: Task) -> "Lock":
        return Lock(self, job)

    def keep(self, job: Task, slot: int = 0) -> None:
        self._call("keep", job, slot)

    def release(self, job: Task, slot: int = 0) -> None:
        self._call("release", job, slot)

    def _call(self, name: str, job: Task, slot: int) -> None:
        self.calls.append((name, job, slot))
        if self.broken:
            raise RedisConnectionError("away")

    @property
    def names(self) -> list[str]:
        return [name for name, _, _ in self.calls]


@dataclass
class Lock:
    """A lock that remembers what is done to it."""

    flags: Flags
    job: Task
    timeout: float | None = 0.03

    def acquire(self) -> bool:
        self.flags.calls.append(("acquire", self.job, 0))
        return not self.flags.taken

    def reacquire(self) -> bool:
        self.flags.renewed.set()
        self.flags.calls.append(("reacquire", self.job, 0))
        if self.flags.broken:
            raise RedisConnectionError("away")
        return True

    def release(self) -> None:
        self.flags.calls.append(("release", self.job, 0))
        if self.flags.broken:
            raise RedisConnectionError("away")


class Stop(threading.Event):
    """An event whose wait passes time on a watch instead of sleeping."""

    def __init__(self, watch: "Watch") -> None:
        super().__init__()
        self._watch = watch

    def wait(self, timeout: float | None = None) -> bool:
        self._watch.now += timeout or 0
        return self.is_set()


@dataclass
class Watch:
    """A monotonic clock that moves when told."""

    now: float = 1000.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    watch = Watch()
    monkeypatch.setattr(drain, "time", watch)
    return watch


@pytest.fixture
def flags() -> Flags:
    return Flags()


@pytest.fixture
def rt(flags: Flags, watch: Watch) -> Runtime:
    return cast("Runtime", SimpleNamespace(tasks=flags, stopping=Stop(watch)))


def failing(times: int, error: Exception = AWAY) -> Callable[[], str]:
    """Return work that fails so often and then succeeds."""
    left = [error] * times

    def work() -> str:
        if left:
            raise left.pop()
        return "done"

    return work


def test_a_drain_that_found_nothing_more_takes_its_flag_down_and_wakes_nobody(
    rt: Runtime, flags: Flags
) -> None:
    with drain_slot(rt, JOB, 2) as keep_going:
        assert keep_going()

    assert flags.calls == [("release", JOB, 2)]


def test_a_drain_ends_after_its_shift_and_names_a_successor(rt: Runtime, flags: Flags, watch: Watch) -> None:
    with drain_slot(rt, JOB, 1) as keep_going:
        watch.now += MAX_SHIFT.total_seconds() + 0.1
        assert not keep_going()

    assert flags.calls[-2:] == [
        ("release", JOB, 1),
        ("wake", JOB, 1),
    ]  # in this order, or the wake meets a flag


def test_a_drain_that_is_told_to_stop_leaves_its_work_to_another(rt: Runtime, flags: Flags) -> None:
    with drain_slot(rt, JOB, 0) as keep_going:
        rt.stopping.set()
        assert not keep_going()

    assert flags.calls == [("release", JOB, 0), ("wake", JOB, 0)]


def test_a_drain_shows_that_it_lives_well_before_its_flag_falls(
    rt: Runtime, flags: Flags, watch: Watch
) -> None:
    with drain_slot(rt, JOB, 0) as keep_going:
        for _ in range(100):
            watch.now += 0.1
            assert keep_going()

    kept = flags.names.count("keep")
    assert 10 / (FLAG_TTL_MS / 1000) * 2 <= kept <= 10
    assert flags.names[-1] == "release"


def test_a_drain_that_fails_takes_its_flag_down_all_the_same(rt: Runtime, flags: Flags) -> None:
    with pytest.raises(ZeroDivisionError), drain_slot(rt, JOB, 0):
        raise ZeroDivisionError

    assert flags.calls == [("release", JOB, 0)]


def test_a_drain_goes_on_while_redis_is_away(rt: Runtime, flags: Flags, watch: Watch) -> None:
    flags.broken = True

    with drain_slot(rt, JOB, 0) as keep_going:
        watch.now += FLAG_TTL_MS / 1000
        assert keep_going()

    assert flags.names == ["keep", "release"]


@pytest.mark.parametrize(
    "error", [AWAY, InterfaceError("SELECT 1", {}, Exception("the connection is closed"))]
)
def test_work_is_done_again_until_the_database_is_back(rt: Runtime, error: Exception) -> None:
    assert retry_while_db_down(rt, failing(5, error)) == "done"


def test_the_pauses_grow_but_stay_short(rt: Runtime, watch: Watch) -> None:
    began = watch.now

    retry_while_db_down(rt, failing(3))
    three = watch.now - began
    retry_while_db_down(rt, failing(9))

    assert three == pytest.approx(0.1 + 0.2 + 0.4)
    assert watch.now - began - three == pytest.approx(0.1 + 0.2 + 0.4 + 0.8 + 1.6 + 4 * 2.0)


def test_patience_ends(rt: Runtime, watch: Watch) -> None:
    began = watch.now

    with pytest.raises(OperationalError):
        retry_while_db_down(rt, failing(10_000), patience=timedelta(seconds=60))

    assert 55 < watch.now - began <= 60


def test_whoever_is_told_to_stop_does_not_wait(rt: Runtime, watch: Watch) -> None:
    rt.stopping.set()
    calls: list[Any] = []

    def work() -> None:
        calls.append(1)
        raise AWAY

    with pytest.raises(OperationalError):
        retry_while_db_down(rt, work)

    assert len(calls) == 1


def test_an_error_that_no_wait_can_mend_is_not_waited_for(rt: Runtime, watch: Watch) -> None:
    began = watch.now

    with pytest.raises(IntegrityError):
        retry_while_db_down(rt, failing(1, IntegrityError("INSERT", {}, Exception("not unique"))))

    assert watch.now == began


def test_a_job_runs_in_one_worker_at_a_time(rt: Runtime, flags: Flags) -> None:
    with singleton_lock(rt, Task.SWEEP) as mine:
        pass
    flags.taken = True
    with singleton_lock(rt, Task.SWEEP) as others:
        pass

    assert (mine, others) == (True, False)
    taken_and_freed = [
        name for name in flags.names if name != "reacquire"
    ]  # on a slow machine it is renewed, too
    assert taken_and_freed == ["acquire", "release", "acquire"]  # the second lets the first one's lock stand


def test_the_lock_is_renewed_however_long_one_step_takes(rt: Runtime, flags: Flags) -> None:
    with singleton_lock(rt, Task.RECONCILE):
        assert flags.renewed.wait(5)
        flags.renewed.clear()
        assert flags.renewed.wait(5)

    assert flags.names[-1] == "release"


def test_a_job_that_fails_lets_the_next_one_begin(rt: Runtime, flags: Flags) -> None:
    with pytest.raises(ZeroDivisionError), singleton_lock(rt, Task.SWEEP):
        raise ZeroDivisionError

    assert flags.names == ["acquire", "release"]


def test_a_job_goes_on_while_redis_is_away(rt: Runtime, flags: Flags) -> None:
    with singleton_lock(rt, Task.SWEEP) as mine:
        flags.broken = True
        assert flags.renewed.wait(5)

    assert mine
    assert flags.names[-1] == "release"


def test_answers_in_hand_outlive_the_stop(rt: Runtime, watch: Watch) -> None:
    rt.stopping.set()

    assert retry_while_db_down(rt, failing(3), after_stop=timedelta(seconds=45)) == "done"


def test_patience_after_the_stop_ends_within_the_grace_period(rt: Runtime, watch: Watch) -> None:
    rt.stopping.set()
    began = watch.now

    with pytest.raises(OperationalError):
        retry_while_db_down(
            rt, failing(1000), patience=timedelta(seconds=60), after_stop=timedelta(seconds=45)
        )

    assert 40 < watch.now - began <= 45
