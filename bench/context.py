"""What the parts share: the plan, the report, and systems that are started when first needed."""

from contextlib import ExitStack
from functools import cached_property
from types import TracebackType
from typing import Self, TypeVar

from bench.children import BenchError
from bench.ours import Ours
from bench.plan import Plan
from bench.references import MessageLogSystem, build_peer, start_peers, start_textbook
from bench.results import Report
from bench.rounds import Rounds
from bench.stand import Stand
from bench.system import System

AnySystem = TypeVar("AnySystem", bound=System)


class Context:
    """One benchmark; on leaving it everything has ended."""

    def __init__(self, plan: Plan, report: Report) -> None:
        self.plan = plan
        self.report = report
        self._open = ExitStack()

    def __enter__(self) -> Self:
        self.stand = self._open.enter_context(Stand())
        self.rounds = Rounds(self.stand, foreign=self.plan.foreign)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    @cached_property
    def ours(self) -> Ours:
        """Our service over PostgreSQL, warmed up."""
        return self.start_ours("smsapp")

    @cached_property
    def ours_twice(self) -> Ours:
        """The same with two worker processes, to match the peer's cluster of two."""
        return self.start_ours("smsapp_twice", name="smsapp x2", workers=2)

    @cached_property
    def peers(self) -> list[MessageLogSystem]:
        """The peer as one and as two processes; empty when it is not installed, which is reported once."""
        try:
            folder = build_peer(self.plan.peer)
        except BenchError as error:
            print(f"  without the peer: {error}", flush=True)
            return []
        print("  start the peer", flush=True)
        peers = start_peers(self.stand, folder)
        for peer in peers:
            self._open.callback(peer.stop)
            self.warm_up(peer)
        return peers

    @cached_property
    def textbook(self) -> MessageLogSystem:
        """The textbook's Flask application."""
        print("  start the textbook's application", flush=True)
        textbook = start_textbook(self.stand)
        self._open.callback(textbook.stop)
        self.warm_up(textbook)
        return textbook

    def start_ours(
        self,
        database: str,
        *,
        name: str = "smsapp",
        workers: int = 1,
        sqlite: bool = False,
        warm: bool = True,
    ) -> Ours:
        """Start our service with an empty database of its own."""
        print(f"  start smsapp ({database})", flush=True)
        ours = Ours(self.stand, database, name=name, workers=workers, sqlite=sqlite)
        self._open.callback(ours.stop)
        if warm:
            self.warm_up(ours)
        return ours

    def warm_up(self, system: System) -> None:
        """Give every process some work before measuring."""
        self.rounds.callbacks(system, range(self.plan.warm_up), 16)
        self.rounds.accepts(system, range(self.plan.warm_up // 4), 16, latency_ms=0)
        system.clear()

    def turns(self, part: str, *systems: AnySystem) -> list[AnySystem]:
        """Yield the systems in turn, round by round."""
        names = ", ".join(system.name for system in systems)
        print(f"\n{part}: {self.plan.rounds} rounds of {names}", flush=True)
        return [system for _ in range(self.plan.rounds) for system in systems]

    def compare(self, part: str, name: str, value: str) -> None:
        """Keep the ratio of the better of ours to the better of the peers, by the rate that the part is about."""
        rate = "done_per_s" if value == "done_per_s" else "per_s"
        peers = [peer.name for peer in self.peers]
        ours = [name for name in self.report.systems(part) if name.startswith("smsapp")]
        if (best := self.report.best(part, peers, rate)) and (own := self.report.best(part, ours, rate)):
            self.report.ratio(
                name, self.report.values(part, own, value), self.report.values(part, best, value)
            )
