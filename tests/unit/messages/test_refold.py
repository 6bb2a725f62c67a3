"""A history alone tells the state: whatever the services do to a message, folding its events again gives its row."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from smsapp.lifecycle.resend import MAX_RESENDS, resend
from smsapp.messages.fold import (
    Event,
    MessageState,
    Report,
    Source,
    Step,
    apply_report,
    apply_step,
    record_only,
)
from smsapp.messages.refold import HELD, NEVER_CONFIRMED, SID_IS_ANOTHERS, PastEvent, refold
from smsapp.messages.status import FINAL, GOOD_NEWS, OURS, Outcome, Status, outcome_of, supersedes
from smsapp.twilio.error_codes import OwnCode
from tests.support.budget import examples

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
COMPARED = ("status", "outcome", "error_code", "attempt", "twilio_sid")

words = st.sampled_from([*(str(status) for status in Status if status not in OURS), "some_new_word"])
codes = st.sampled_from([None, 30001, 30003, 30005, 30008])
choices = st.integers(min_value=0, max_value=99)


def past(event: Event) -> PastEvent:
    return PastEvent(
        source=event.source,
        raw_status=str(event.raw_status)[:32],
        applied=event.applied,
        reason=event.reason,
        attempt=event.attempt,
        error_code=event.error_code,
        twilio_sid=event.twilio_sid,
        received_at=event.received_at,
        receipt_id=event.receipt_id,
    )


def accepted() -> tuple[MessageState, Event]:
    message = MessageState(
        uuid4(), Status.PENDING, 1, 1, created_at=START, due_at=START, resends_left=MAX_RESENDS
    )
    event = Event(
        source=Source.REQUEST,
        raw_status=Status.PENDING,
        applied=True,
        reason=None,
        attempt=1,
        error_code=None,
        twilio_sid=None,
        received_at=START,
        receipt_id=uuid4(),
    )
    return message, event


@dataclass(frozen=True)
class Attempt:
    """A submission that Twilio has not answered yet, and the SID that it will have if Twilio takes it."""

    number: int
    sid: str


class Life(RuleBasedStateMachine):
    """One message's life: all that the services may do, at any time that they may do it, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.message, first = accepted()
        self.events = [first]
        self.open: list[Attempt] = []  # not answered yet
        self.made: list[Attempt] = []
        self.now = START

    # The services' moves.

    def step(self, step: Step) -> None:
        self.message, event = apply_step(self.message, step)
        self.events.append(event)

    def report(self, report: Report) -> None:
        before = self.message
        self.message, event = apply_report(before, report)
        self.events.append(event)
        assert self.message.status is before.status or supersedes(self.message.status, before.status)
        resent = resend(before, self.message, now=self.now, receipt_id=uuid4(), rng=lambda: 0.5)
        if resent:
            self.message, event = resent
            self.events.append(event)

    def make_step(
        self, status: Status, *, attempt: int | None = None, source: Source = Source.SYSTEM
    ) -> Step:
        self.now += timedelta(seconds=1)
        due_at = None if status in FINAL else self.now
        return Step(source, status, attempt or self.message.attempt, self.now, uuid4(), due_at)

    def make_report(
        self, source: Source, raw_status: str, code: int | None, attempt: int | None, sid: str | None
    ) -> Report:
        self.now += timedelta(seconds=1)
        poll_at = None if source is Source.CALLBACK else self.now
        return Report(source, raw_status, self.now, uuid4(), attempt, sid, code, poll_at=poll_at)

    @precondition(lambda self: self.message.status is Status.PENDING)
    @rule()
    def claim(self) -> None:
        self.step(replace(self.make_step(Status.SUBMITTING), reason="claimed"))
        attempt = Attempt(self.message.attempt, f"SM{uuid4().hex}")
        self.open.append(attempt)
        self.made.append(attempt)

    @precondition(lambda self: self.open)
    @rule(choice=choices, raw_status=words)
    def accept(self, choice: int, raw_status: str) -> None:
        attempt = self.open.pop(choice % len(self.open))
        self.report(self.make_report(Source.API, raw_status, None, attempt.number, attempt.sid))

    @precondition(lambda self: self.open)
    @rule(choice=choices, verdict=st.sampled_from(["refused", "retry", "unknown", "gave_up"]))
    def refuse(self, choice: int, verdict: str) -> None:
        attempt = self.open.pop(choice % len(self.open))
        made = self.make_step(Status.FAILED, attempt=attempt.number, source=Source.API)
        step = {
            "refused": replace(made, error_code=21211, reason="http_400"),
            "retry": replace(
                made, status=Status.PENDING, attempt=attempt.number + 1, due_at=self.now, error_code=20429
            ),
            "unknown": replace(
                made,
                status=Status.UNCONFIRMED,
                due_at=self.now,
                error_code=OwnCode.ANSWER_LOST,
                reason="http_503",
            ),
            "gave_up": replace(made, error_code=20429),
        }[verdict]
        ours = self.message.status in {Status.SUBMITTING, Status.UNCONFIRMED}
        if ours and self.message.attempt == attempt.number:
            self.step(step)
        else:
            self.message, event = record_only(self.message, step)
            self.events.append(event)

    @precondition(lambda self: self.message.status is Status.SUBMITTING)
    @rule()
    def lose_the_worker(self) -> None:
        lost = self.make_step(Status.UNCONFIRMED)
        self.step(replace(lost, error_code=OwnCode.ANSWER_LOST, reason="worker_lost"))

    @precondition(lambda self: self.made)
    @rule(
        choice=choices,
        raw_status=words,
        code=codes,
        named=st.booleans(),
        sid=st.sampled_from(["own", "other", "none"]),
    )
    def call_back(self, choice: int, raw_status: str, code: int | None, named: bool, sid: str) -> None:
        attempt = self.made[choice % len(self.made)]
        # Without a name in its path, a callback is found by its SID, and so is its attempt unless it is the present.
        number = None if not named and attempt.number == self.message.attempt else attempt.number
        told = {"own": attempt.sid, "other": "SM" + "f" * 32, "none": None}[sid]
        self.report(self.make_report(Source.CALLBACK, raw_status, code, number, told))

    @precondition(lambda self: self.message.twilio_sid)
    @rule(raw_status=words, code=codes)
    def poll(self, raw_status: str, code: int | None) -> None:
        self.report(
            self.make_report(Source.POLL, raw_status, code, self.message.attempt, self.message.twilio_sid)
        )

    @precondition(lambda self: self.message.status is Status.UNCONFIRMED and not self.message.twilio_sid)
    @rule(raw_status=words)
    def find(self, raw_status: str) -> None:
        sid = next(attempt.sid for attempt in self.made if attempt.number == self.message.attempt)
        self.report(self.make_report(Source.POLL, raw_status, None, self.message.attempt, sid))

    @precondition(lambda self: self.message.status is Status.UNCONFIRMED)
    @rule(
        policy=st.sampled_from(
            ["not_found_yet", "hold", "resend", "fail", "operator_resend", "operator_fail"]
        )
    )
    def not_find(self, policy: str) -> None:
        looked = self.make_step(Status.UNCONFIRMED)
        decided = replace(looked, source=Source.OPERATOR)
        again = {"status": Status.PENDING, "attempt": self.message.attempt + 1, "due_at": self.now}
        over = {"status": Status.FAILED, "due_at": None, "error_code": OwnCode.NOT_FOUND_AT_TWILIO}
        step = {
            "not_found_yet": replace(looked, error_code=self.message.error_code, reason="not_found_yet"),
            "hold": replace(looked, error_code=4, reason=HELD, outcome=Outcome.UNCONFIRMED),
            "resend": replace(
                looked, **again, error_code=self.message.error_code, reason="resend_unconfirmed"
            ),
            "fail": replace(looked, **over, reason="not_found"),
            "operator_resend": replace(decided, **again, reason="resend_unconfirmed"),
            "operator_fail": replace(decided, **over, reason="given_up_unconfirmed"),
        }[policy]
        self.step(step)

    @precondition(lambda self: self.message.twilio_sid)
    @rule()
    def give_the_sid_back(self) -> None:
        returned = self.make_step(Status.UNCONFIRMED)
        self.step(replace(returned, error_code=OwnCode.ANSWER_LOST, reason=SID_IS_ANOTHERS, forgets_sid=True))

    @precondition(lambda self: self.message.status not in FINAL | OURS)
    @rule(reason=st.sampled_from(["gone_at_twilio", NEVER_CONFIRMED]))
    def ask_later(self, reason: str) -> None:
        outcome = Outcome.UNCONFIRMED if reason == NEVER_CONFIRMED else None
        self.step(replace(self.make_step(self.message.status), reason=reason, outcome=outcome))

    # What holds at every point.

    @invariant()
    def the_history_tells_the_state(self) -> None:
        refolded = refold(self.message.id, map(past, self.events))

        assert refolded is not None
        assert {name: getattr(refolded, name) for name in COMPARED} == {
            name: getattr(self.message, name) for name in COMPARED
        }

    @invariant()
    def the_version_counts_the_events(self) -> None:
        assert self.message.version == len(self.events)

    @invariant()
    def only_the_end_needs_nobody(self) -> None:
        assert (self.message.due_at is None) is (self.message.status in FINAL)
        assert (self.message.finished_at is None) is (self.message.status not in FINAL)

    @invariant()
    def the_outcome_is_what_the_status_says(self) -> None:
        given_up = self.message.outcome is Outcome.UNCONFIRMED and self.message.status not in FINAL
        assert given_up or self.message.outcome is outcome_of(self.message.status)

    @invariant()
    def good_news_has_no_error(self) -> None:
        assert self.message.status not in GOOD_NEWS or self.message.error_code is None


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=examples(100), stateful_step_count=25)


def test_without_events_there_is_no_message() -> None:
    assert refold(uuid4(), []) is None


def test_a_tampered_history_tells_another_state() -> None:
    message, first = accepted()
    claimed, claim = apply_step(message, Step(Source.SYSTEM, Status.SUBMITTING, 1, START, uuid4(), START))
    sent, report = apply_report(claimed, Report(Source.CALLBACK, "sent", START, uuid4(), 1, "SM" + "1" * 32))

    refolded = refold(message.id, [past(first), past(claim), replace(past(report), raw_status="delivered")])

    assert refolded is not None
    assert refolded.status is not sent.status


def test_a_step_that_was_only_noted_is_only_noted_again() -> None:
    message, first = accepted()
    claimed, claim = apply_step(message, Step(Source.SYSTEM, Status.SUBMITTING, 1, START, uuid4(), START))
    sent, report = apply_report(claimed, Report(Source.CALLBACK, "sent", START, uuid4(), 1, "SM" + "1" * 32))
    _, late = record_only(sent, Step(Source.API, Status.FAILED, 1, START, uuid4(), None, error_code=21211))

    refolded = refold(message.id, map(past, [first, claim, report, late]))

    assert refolded is not None
    assert refolded.status is Status.SENT
