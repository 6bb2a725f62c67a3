"""Which messages of a lane a drain claims next: the oldest, or with a backlog, those of each API key in turn."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from uuid import UUID

import structlog
from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from smsapp.db.sessions import reading
from smsapp.pacing import backlog as queues
from smsapp.pacing.backlog import Waiting
from smsapp.pacing.fairness import deal, rotate
from smsapp.ports import PaceRequest
from smsapp.queue.drain import retry_while_db_down
from smsapp.queue.lanes import Lane
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.submission.guard import guard
from smsapp.submission.outbound import Outbound

log = structlog.get_logger(__name__)

_LOOK_EVERY_S = 0.1
"""How long a busy drain relies on its last look at the waiting queues."""

_PAUSE_WITHOUT_REDIS_S = 1.0


class Scheduler:
    """Claims messages for one drain. Without paced senders and without a backlog, a claim is a single statement."""

    def __init__(self, rt: Runtime, lane: Lane) -> None:
        self._rt = rt
        self._lane = lane
        self._paces = rt.settings.paces
        self._crowded = False
        self._waiting: Sequence[Waiting] = ()
        self._after = queues.START
        self._look_at = 0.0
        self._ask_at = 0.0
        self._last_key: UUID | None = None
        self.waits = False
        """Whether a due message waits only for its sender's pace."""
        self.stuck = False
        """Whether a due message waits because Redis, which keeps the senders' clocks, cannot be reached."""

    @property
    def is_crowded(self) -> bool:
        """Whether more waited at the last look than could be claimed, as far as is known."""
        return self._crowded

    def claim(self, free: int) -> list[Outbound]:
        """Claim up to `free` messages."""
        self.waits = self.stuck = False
        if not self._paces and not self._crowded:
            return self._oldest(free)
        if time.monotonic() >= self._look_at:
            self._look()
        if not self._paces and len({each.queue.api_key_id for each in self._waiting}) <= 1:
            return self._oldest(free)
        return self._in_turn(free)

    def _oldest(self, free: int) -> list[Outbound]:
        claimed = self._take(partial(claims.claim_due, limit=free, lane=self._lane))
        self._crowded = len(claimed) == free
        return claimed

    def _in_turn(self, free: int) -> list[Outbound]:
        asks = self._asks(free)
        granted = self._granted(asks)
        room = {ask.sender: -(-granted.get(ask.sender, 0) // ask.head) for ask in asks}
        shares = deal(rotate([each.queue for each in self._waiting], self._last_key), free, room)
        claimed: list[Outbound] = []
        if shares:
            claimed = self._take(partial(claims.claim_shares, shares=shares, lane=self._lane))
            self._last_key = shares[-1].queue.api_key_id
        if granted:
            self._settle(asks, granted, claimed)
        if len(claimed) < sum(share.count for share in shares) or not self._waiting:
            self._look_at = 0.0  # at least one queue is empty by now
        self._crowded = bool(self._waiting)
        return claimed

    def _look(self) -> None:
        self._look_at = time.monotonic() + _LOOK_EVERY_S
        with reading(self._rt.sessions) as session:
            self._waiting, self._after = queues.waiting(
                session, self._lane, now=self._rt.clock(), after=self._after
            )

    def _asks(self, free: int) -> list[PaceRequest]:
        heads: dict[str, int] = {}
        for each in self._waiting:
            sender = each.queue.sender
            heads[sender] = max(heads.get(sender, 1), each.head_segments)
        rates = ((sender, self._paces.rate(sender), head) for sender, head in heads.items())
        return [PaceRequest(sender, rate, head, free * head) for sender, rate, head in rates if rate]

    def _granted(self, asks: Sequence[PaceRequest]) -> dict[str, int]:
        if not asks:
            return {}
        if time.monotonic() < self._ask_at:
            self.stuck = True
            return {}
        try:
            granted = self._rt.pacer.take(self._lane, asks)
        except (RedisError, OSError) as error:
            # Without the shared clock, every worker would send at the full pace.
            log.warning("pace_unknown", error=type(error).__name__)
            self._ask_at = time.monotonic() + _PAUSE_WITHOUT_REDIS_S
            self.stuck = True
            return {}
        self.waits = 0 in granted.values()
        return granted

    def _settle(
        self, asks: Sequence[PaceRequest], granted: dict[str, int], claimed: Sequence[Outbound]
    ) -> None:
        """Correct the grants, which are estimates: messages differ in size, and another drain may claim some."""
        for ask in asks:
            used = sum(message.segments for message in claimed if message.sender_key == ask.sender)
            difference = used - granted.get(ask.sender, 0)
            if difference:
                try:
                    self._rt.pacer.settle(ask.sender, ask.rate, difference)
                except (RedisError, OSError) as error:
                    log.warning("pace_unknown", error=type(error).__name__)

    def _take(self, claim: Callable[..., list[Outbound]]) -> list[Outbound]:
        def work() -> list[Outbound]:
            with self._rt.transaction() as tx:
                return self._claim_in(tx.session, claim)

        return retry_while_db_down(self._rt, work)

    def _claim_in(self, session: Session, claim: Callable[..., list[Outbound]]) -> list[Outbound]:
        claimed = claim(session, now=self._rt.clock(), lease=self._rt.settings.send_lease)
        return guard(self._rt, session, claimed) if claimed and self._rt.settings.is_guarded else claimed
