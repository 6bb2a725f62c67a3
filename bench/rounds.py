"""One run of each kind, the same for every system: set up, measure, and check the result."""

import time
from collections.abc import Callable

from bench import machine
from bench.load import Generator, Load
from bench.ours import Ours
from bench.results import Run
from bench.stand import Stand
from bench.system import Faults, System
from bench.traffic import STEPS, Address, callbacks, sends

LIFE_STEPS = "sent@200,delivered@400"
"""When callbacks follow Twilio's answer. Sooner, the peer's row would not exist yet: it drops such callbacks."""

_LOOK_EVERY_S = 0.03
_GIVE_UP_S = 5.0
_ATTEMPTS = 3
_QUIET_LOOK_S = 2.0
_QUIET_PATIENCE_S = 30.0


class Rounds:
    """Runs measurements on a stand; one that other work on the machine disturbed is repeated."""

    def __init__(self, stand: Stand, *, foreign: float) -> None:
        self._stand = stand
        self._foreign = foreign

    def callbacks(
        self,
        system: System,
        numbers: range,
        connections: int,
        *,
        rate: float | None = None,
        address: Address | None = None,
    ) -> Run:
        """Call back on stored messages until all are delivered."""

        def run() -> Run:
            generator = self._called_back(system, numbers, connections, address or system.address)
            until = system.unfinished
            result = self._measured(system, generator, rate, len(numbers), each=len(STEPS), until=until)
            return _checked(result, system.faults(len(numbers)))

        return self._undisturbed(run)

    def backlog(self, ours: Ours, numbers: range, connections: int) -> Run:
        """Call back while the workers are frozen, then let them drain what waits: `drained_per_s`."""

        def run() -> Run:
            generator = self._called_back(ours, numbers, connections, ours.address)
            each, until, then = len(STEPS), ours.unfinished, ours.resume_workers
            ours.pause_workers()
            try:
                result = self._measured(
                    ours, generator, None, len(numbers), each=each, until=until, then=then
                )
            finally:
                ours.resume_workers()
            return _checked(result, ours.faults(len(numbers)))

        return self._undisturbed(run)

    def among_others(self, ours: Ours, numbers: range, connections: int) -> Run:
        """Call back on messages stored after others, which stay; remove the new ones at the end."""

        def run() -> Run:
            generator = self._called_back(ours, numbers, connections, ours.address, keep=True)
            try:
                return self._measured(
                    ours, generator, None, len(numbers), each=len(STEPS), until=ours.unfinished
                )
            finally:
                ours.forget(numbers)

        return self._undisturbed(run)

    def accepts(self, system: System, numbers: range, connections: int, latency_ms: float) -> Run:
        """Ask for sends; the run ends when Twilio has had them all, the rate counts the answers."""
        return self._undisturbed(lambda: self._sends(system, numbers, connections, latency_ms, ""))

    def lives(self, system: System, numbers: range, connections: int, latency_ms: float) -> Run:
        """Ask for sends and take their callbacks, until every message is final."""
        return self._undisturbed(lambda: self._sends(system, numbers, connections, latency_ms, LIFE_STEPS))

    def _sends(self, system: System, numbers: range, connections: int, latency_ms: float, steps: str) -> Run:
        system.clear()
        self._stand.settle()
        self._stand.configure_fake(latency_ms=latency_ms, steps=steps)
        generator = Generator(system.port, sends(system.base_url, numbers, system.send_headers), connections)
        until = system.unfinished if steps else system.unsubmitted
        result = self._measured(system, generator, None, len(numbers), each=1, until=until)
        seen = self._stand.fake_stats()
        result.values["doubled"] = seen["accepted"] - seen["distinct"]
        lost = len(numbers) - seen["distinct"]
        return _checked(result, system.faults(len(numbers)) if steps else Faults(lost, wrong=0))

    def _called_back(
        self, system: System, numbers: range, connections: int, address: Address, *, keep: bool = False
    ) -> Generator:
        """Store the messages and make their callbacks ready; others are removed, unless they are kept."""
        if not keep:
            system.clear()
        self._stand.settle()
        system.seed(numbers)
        return Generator(system.port, callbacks(system.base_url, numbers, address), connections)

    def _measured(
        self,
        system: System,
        generator: Generator,
        rate: float | None,
        messages: int,
        *,
        each: int,
        until: Callable[[], int],
        then: Callable[[], None] | None = None,
    ) -> Run:
        """Run the load, wait until no message is left to do, and return both with what they cost per item.

        A message is `each` items: one send, or its callbacks. `done_per_s` counts items from the first request to the
        end of the last effect, `drained_per_s` from the last answer; `per_s` counts answers. `then` is called after
        the last answer.
        """
        roots = self._stand.roots() | system.roots()
        wal = self._stand.wal_bytes()
        before, busy, stolen, own, began = (
            machine.cpu_s(roots),
            machine.busy_s(),
            machine.stolen_s(),
            time.process_time(),
            time.perf_counter(),
        )
        load = generator.run(rate)
        if then:
            then()
        done_s, left = self._wait(load, until)
        after = machine.cpu_s(roots)
        foreign_s = (
            machine.busy_s() - busy - sum(after.values()) + sum(before.values()) - time.process_time() + own
        )
        result = Run(system.name)
        result.add_load(load)
        result.add_cpu(
            {name: after[name] - before[name] for name in roots} | {"load": load.cpu_s}, messages * each
        )
        result.values |= {
            "done_per_s": (messages - left) * each / done_s,
            "drained_per_s": (messages - left) * each / max(0.001, done_s - load.wall_s),
            "unfinished": left,
            "wal_bytes": (self._stand.wal_bytes() - wal) / (messages * each),
            "foreign_cores": max(0.0, foreign_s) / (time.perf_counter() - began),
            "stolen_cores": (machine.stolen_s() - stolen) / (time.perf_counter() - began),
        }
        return result

    def _wait(self, load: Load, until: Callable[[], int]) -> tuple[float, int]:
        """Return after how many seconds the work was done, or last moved on, and how much is left."""
        left, moved = -1, time.perf_counter()
        while (now_left := until()) > 0:
            now = time.perf_counter()
            if now_left != left:
                left, moved = now_left, now
            elif now - moved > _GIVE_UP_S:
                return moved - load.began, left
            time.sleep(_LOOK_EVERY_S)
        return time.perf_counter() - load.began, 0

    def _undisturbed(self, measure: Callable[[], Run]) -> Run:
        for attempt in range(_ATTEMPTS):
            result = measure()
            if result.values["foreign_cores"] <= self._foreign or attempt == _ATTEMPTS - 1:
                return result
            cores = result.values["foreign_cores"]
            print(f"  (disturbed by {cores:.1f} cores of other work; taken again)", flush=True)
            self._wait_for_quiet()
        raise AssertionError("unreachable")

    def _wait_for_quiet(self) -> None:
        """Return when the machine is nearly idle, or after a timeout."""
        deadline = time.monotonic() + _QUIET_PATIENCE_S
        while time.monotonic() < deadline:
            busy, began = machine.busy_s(), time.monotonic()
            time.sleep(_QUIET_LOOK_S)
            if (machine.busy_s() - busy) / (time.monotonic() - began) < self._foreign:
                return


def _checked(run: Run, faults: Faults) -> Run:
    run.values |= {"lost": faults.lost, "wrong": faults.wrong}
    return run
