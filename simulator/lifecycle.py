"""Run the plans of accepted messages: one task for each, which ends when its last callback is answered."""

import asyncio
import time
from dataclasses import dataclass, field

from simulator.callbacks import Poster
from simulator.ledger import Ledger
from simulator.messages import Message
from simulator.opt_outs import OPTED_OUT, OptOuts
from simulator.plan import Change, Plan, Report, single_step


@dataclass(slots=True)
class Lifecycle:
    """The messages in flight; a scheduled one is kept apart until its time comes or it is canceled."""

    poster: Poster
    opt_outs: OptOuts
    _running: set[asyncio.Task[None]] = field(default_factory=set)
    _scheduled: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _idle: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        """Begin idle."""
        self._idle.set()

    def start(self, message: Message, plan: Plan, ledger: Ledger) -> asyncio.Task[None]:
        """Run a message's plan now; the task ends when every callback is answered."""
        ledger.pending += _reports(message, plan)
        task = asyncio.create_task(self._live(message, plan, ledger))
        self._running.add(task)
        self._idle.clear()
        task.add_done_callback(self._finished)
        return task

    def schedule(self, message: Message, plan: Plan, ledger: Ledger) -> None:
        """Run a message's plan when its SendAt comes."""
        self._scheduled[message.sid] = asyncio.create_task(self._wait_and_start(message, plan, ledger))

    def cancel(self, message: Message, ledger: Ledger) -> None:
        """Cancel a scheduled message, and call that back."""
        self._scheduled.pop(message.sid).cancel()
        message.advance("canceled", None, now=time.time())
        self.start(message, single_step("canceled"), ledger)

    def stop(self) -> None:
        """Drop everything that is in flight."""
        for task in (*self._running, *self._scheduled.values()):
            task.cancel()
        self._scheduled.clear()

    async def wait_until_idle(self, timeout_s: float) -> bool:
        """Return True once nothing is in flight, or False on timeout. Scheduled messages are not waited for."""
        try:
            await asyncio.wait_for(self._idle.wait(), timeout_s)
        except TimeoutError:
            return False
        return True

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._running.discard(task)
        if not self._running:
            self._idle.set()
        if not task.cancelled():
            task.result()  # re-raises a bug of the simulator

    async def _wait_and_start(self, message: Message, plan: Plan, ledger: Ledger) -> None:
        assert message.draft.send_at is not None
        await asyncio.sleep(message.draft.send_at.timestamp() - time.time())
        del self._scheduled[message.sid]
        # An opt-out does not cancel a scheduled message, it fails when its time comes:
        # https://www.twilio.com/docs/messaging/features/message-scheduling
        if self.opt_outs.block(message.draft.to, message.sender, message.draft.messaging_service_sid):
            plan = single_step("failed", OPTED_OUT)
        self.start(message, plan, ledger)

    async def _live(self, message: Message, plan: Plan, ledger: Ledger) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        async with asyncio.TaskGroup() as posts:
            for event in plan.events:
                delay = began + event.at_ms / 1000 - loop.time()
                if delay > 0:
                    await asyncio.sleep(delay)
                if isinstance(event, Change):
                    message.advance(event.status, event.error_code, now=time.time())
                elif message.target is not None:
                    post = posts.create_task(self._report(message, event, ledger))
                    if plan.in_turn:
                        await post

    async def _report(self, message: Message, report: Report, ledger: Ledger) -> None:
        try:
            await self.poster.report(message, report, ledger)
        finally:
            ledger.pending -= 1


def _reports(message: Message, plan: Plan) -> int:
    if message.target is None:
        return 0
    return sum(isinstance(event, Report) for event in plan.events)
