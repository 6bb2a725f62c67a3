"""Fakes of the ports that a test controls: Twilio and the clock, and a queue that only records."""

import threading
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID, uuid4

from smsapp.queue.tasks import Task
from smsapp.recipients.phone import address
from smsapp.submission.outbound import Outbound
from smsapp.twilio.gateway import Submission, TwilioMessage, TwilioUnavailableError
from smsapp.twilio.judgement import Judgement, judge_refusal

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


class FakeClock:
    """A clock that moves only on demand."""

    def __init__(self, now: datetime = START) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def advance(self, span: timedelta) -> None:
        """Let time pass."""
        self.now += span


@dataclass
class FakeLock:
    """A lock that is either held by another process or free."""

    taken: bool
    timeout: float | None = None

    def acquire(self) -> bool:
        """Take it."""
        return not self.taken

    def reacquire(self) -> bool:
        """Keep it."""
        return True

    def release(self) -> None:
        """Give it back."""


class FakeTaskQueue:
    """Records which tasks were woken."""

    def __init__(self) -> None:
        self.woken: list[tuple[Task, int]] = []
        self.locked = False

    def wake(self, job: Task, slot: int = 0) -> bool:
        """Remember."""
        self.woken.append((job, slot))
        return True

    def publish(self, job: Task, slot: int = 0) -> bool:
        """Remember."""
        return self.wake(job, slot)

    def hear(self, _job: Task, within: timedelta) -> bool:
        """Hear nothing."""
        threading.Event().wait(within.total_seconds())
        return False

    def lock(self, _job: Task) -> FakeLock:
        """Return a lock that is free unless configured otherwise."""
        return FakeLock(self.locked)

    def keep(self, job: Task, slot: int = 0) -> None:
        """Do nothing."""

    def release(self, job: Task, slot: int = 0) -> None:
        """Do nothing."""


@dataclass
class FakeNews:
    """Records what was published."""

    outcomes: list[UUID] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)

    def publish(self, outcomes: Collection[UUID], position: int | None) -> None:
        """Remember."""
        self.outcomes += outcomes
        if position is not None:
            self.positions.append(position)

    def publish_position(self, position: int) -> None:
        """Remember."""
        self.positions.append(position)


Behaviour = Callable[[Outbound], Submission]


@dataclass
class FakeTwilio:
    """Records submissions; each uses up one of `behaviours`, and after those everything is accepted."""

    clock: Callable[[], datetime]
    sent: list[Outbound] = field(default_factory=list)
    records: dict[str, TwilioMessage] = field(default_factory=dict)
    behaviours: list[Behaviour] = field(default_factory=list)
    probes: list[Submission] = field(default_factory=list)
    account: Submission = field(default_factory=Submission)
    asked_for_account: int = 0
    unavailable: TwilioUnavailableError | None = None
    fetched: list[str] = field(default_factory=list)
    cancelable: bool = False

    def submit(self, message: Outbound) -> Submission:
        """Do the next behaviour, else accept."""
        behaviour = self.behaviours.pop(0) if self.behaviours else self.accept
        return behaviour(message)

    def accept(self, message: Outbound) -> Submission:
        """Accept the message and answer."""
        return Submission(message=self._take(message))

    def accept_silently(self, message: Outbound) -> Submission:
        """Accept the message, but lose the answer."""
        self._take(message)
        return Submission(judgement=Judgement.unknown(), cause="TimeoutError")

    def lose(self, _message: Outbound) -> Submission:
        """Accept nothing, and lose the answer."""
        return Submission(judgement=Judgement.unknown(), cause="HungUpError")

    def unreachable(self, _message: Outbound) -> Submission:
        """Fail to connect."""
        return Submission(judgement=Judgement.not_sent(), cause="ConnectionRefusedError")

    def _take(self, message: Outbound) -> TwilioMessage:
        self.sent.append(message)
        record = TwilioMessage(
            sid=f"SM{uuid4().hex}",
            status="queued",
            to=address(message.to, message.sender),
            sender=message.sender,
            body=message.body,
            error_code=None,
            num_segments=message.segments,
            price=None,
            price_unit="USD",
            created_at=self.clock(),
            num_media=len(message.media_urls or ()),
        )
        self.records[record.sid] = record
        return record

    def fetch(self, sid: str) -> TwilioMessage | None:
        """Show a record."""
        self._check()
        self.fetched.append(sid)
        return self.records.get(sid)

    def list_to(self, to: str, *, limit: int) -> Iterator[TwilioMessage]:
        """Show the latest records of a number."""
        self._check()
        yield from [record for record in reversed(self.records.values()) if record.to == to][:limit]

    def list_sent(self, *, after: datetime, before: datetime, limit: int) -> Iterator[TwilioMessage]:
        """Show the records of a span of time."""
        self._check()
        in_span = (r for r in self.records.values() if r.created_at and after <= r.created_at <= before)
        yield from islice(in_span, limit)

    def cancel(self, sid: str) -> TwilioMessage:
        """Cancel the record if it may be canceled, else refuse as Twilio does once it is too late."""
        self._check()
        if not self.cancelable:
            raise TwilioUnavailableError("http_409", code=30409, status=409)
        self.records[sid] = replace(self.records[sid], status="canceled")
        return self.records[sid]

    def redact(self, sid: str) -> None:
        """Empty the body of a record that is over, else refuse as Twilio does."""
        self._check()
        record = self.records.get(sid)
        if record is None:
            raise TwilioUnavailableError("http_404", code=20404, status=404)
        if record.status in {"accepted", "queued", "sending"}:
            raise TwilioUnavailableError("http_409", code=20009, status=409)
        self.records[sid] = replace(record, body="")

    def probe(self) -> Submission:
        """Return the next of `probes`, after those `account`: by default that the account works."""
        self.asked_for_account += 1
        return self.probes.pop(0) if self.probes else self.account

    def _check(self) -> None:
        if self.unavailable:
            raise self.unavailable


def refuse(code: int | None, status: int, *, retry_after: str | None = None) -> Behaviour:
    """Return a behaviour that refuses as Twilio would."""
    return lambda _message: Submission(
        judgement=judge_refusal(code, status), retry_after=retry_after, cause=f"http_{status}"
    )
