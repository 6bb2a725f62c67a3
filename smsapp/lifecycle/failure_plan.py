"""What the caller wants done when a message fails: declared with it, followed step by step.

A plan is data, and following it is a pure function of the message: each step is taken at most once, so a plan of n
steps ends after at most n failures, whatever the carrier says.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from smsapp.lifecycle.resend import attempt_again, has_just_failed
from smsapp.messages.fold import Event, MessageState, Source, Step, record_only
from smsapp.messages.status import FINAL
from smsapp.recipients.phone import WHATSAPP
from smsapp.twilio.error_codes import Failure, FailureClass, OwnCode, explain

MAX_STEPS = 5
MAX_WAIT = timedelta(hours=72)

ANY = "any"
LATE = "deadline_missed"
PLAN_RESEND = "plan_resend"
PLAN_FALLBACK = "plan_fallback"

_SPAN = re.compile(r"([0-9]{1,6})(s|m|h)")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours"}

_NEVER_AGAIN = frozenset(
    {int(OwnCode.ANSWER_LOST), int(OwnCode.NOT_FOUND_AT_TWILIO), int(OwnCode.TEXT_REMOVED)}
)
"""Failures that no plan may resend: Twilio may have the message, a risk that only `on_unconfirmed` may take, or there
is nothing left to send."""


class Do(StrEnum):
    """The action of a plan step."""

    RESEND = "resend"
    REQUEST_FALLBACK = "request_fallback"  # the consumer has other channels: mail, voice, a person


@dataclass(frozen=True, slots=True)
class PlanStep:
    """One step. `on` holds failure classes, Twilio's codes, `any` or `deadline_missed`.

    `sender` and `messaging_service_sid` apply to the new attempt; both None keeps those of the previous one.
    """

    on: frozenset[str]
    do: Do
    after: timedelta = timedelta()
    sender: str | None = None
    messaging_service_sid: str | None = None

    @property
    def readdresses(self) -> bool:
        """Whether the new attempt has a different sender from the previous one."""
        return self.sender is not None or self.messaging_service_sid is not None


@dataclass(frozen=True, slots=True)
class Plan:
    """Steps in order of preference. `max_segments` bounds the cost of all attempts together, the first included."""

    steps: tuple[PlanStep, ...]
    max_segments: int | None = None

    @property
    def all_left(self) -> int:
        """Return the set of all steps, as bits."""
        return (1 << len(self.steps)) - 1


@dataclass(frozen=True, slots=True)
class Followed:
    """The result of following a plan after a failure: `step` is the number of the step taken, from 1."""

    message: MessageState
    event: Event
    number: int
    step: PlanStep


def parse_span(text: str) -> timedelta:
    """Return a span such as `30s`, `5m` or `2h`.

    Raises:
        ValueError: not a span, or longer than MAX_WAIT.
    """
    match = _SPAN.fullmatch(text)
    span = timedelta(**{_UNITS[match[2]]: int(match[1])}) if match else None
    if span is None or span > MAX_WAIT:
        raise ValueError("must be a span of time such as 30s, 5m or 2h, of at most 72h")
    return span


def parse_plan(document: Mapping[str, Any]) -> Plan:
    """Return a plan from the document that callers give and see."""
    return Plan(tuple(map(_parse_step, document["steps"])), document.get("max_segments"))


def _parse_step(document: Mapping[str, Any]) -> PlanStep:
    sender = document.get("from")
    if sender and document.get("channel"):
        sender = WHATSAPP + sender.removeprefix(WHATSAPP)
    return PlanStep(
        on=frozenset(document["on"]),
        do=Do(document["do"]),
        after=parse_span(document.get("after") or "0s"),
        sender=sender,
        messaging_service_sid=document.get("messaging_service_sid"),
    )


def follow_plan(
    before: MessageState,
    after: MessageState,
    plan: Plan,
    *,
    segments: int,
    now: datetime,
    receipt_id: UUID,
    rng: Callable[[], float],
) -> Followed | None:
    """Return the result of the first remaining step that fits a message that has just failed; None if no step fits.

    A step that fits but cannot be taken (too late, too expensive, or a failure that must never be resent) is skipped
    for the next.
    """
    if not has_just_failed(before, after):
        return None
    failure = explain(after.error_code, status=after.status)
    words = _words(after, failure, now)
    for number, step in _left(plan, after):
        if not step.on & words:
            continue
        payload: dict[str, object] = {"step": number, "class": str(failure.failure_class)}
        if step.do is Do.REQUEST_FALLBACK:
            return _request_fallback(after, number, step, payload, now=now, receipt_id=receipt_id)
        if not _may_resend(step, after, failure) or _is_too_dear(plan, after, segments):
            continue
        if step.readdresses:
            payload |= {"from": step.sender, "messaging_service_sid": step.messaging_service_sid}
        again = attempt_again(
            after,
            delay=step.after,
            reason=PLAN_RESEND,
            now=now,
            receipt_id=receipt_id,
            rng=rng,
            payload=payload,
        )
        if again:
            waiting, event = again
            return Followed(_without(waiting, number), event, number, step)
    return None


def follow_late(message: MessageState, plan: Plan, *, now: datetime, receipt_id: UUID) -> Followed | None:
    """Return the result of the plan for a message that is still at Twilio after its deadline; None if no step fits."""
    if message.status in FINAL:
        return None
    for number, step in _left(plan, message):
        if LATE in step.on and step.do is Do.REQUEST_FALLBACK:
            payload: dict[str, object] = {"step": number, "class": LATE}
            return _request_fallback(message, number, step, payload, now=now, receipt_id=receipt_id)
    return None


def _left(plan: Plan, message: MessageState) -> list[tuple[int, PlanStep]]:
    return [
        (number, step)
        for number, step in enumerate(plan.steps, start=1)
        if message.steps_left & (1 << (number - 1))
    ]


def _without(message: MessageState, number: int) -> MessageState:
    return message._replace(steps_left=message.steps_left & ~(1 << (number - 1)))


def _words(message: MessageState, failure: Failure, now: datetime) -> frozenset[str]:
    """Return every term by which a step's `on` can name this failure."""
    late = message.error_code == OwnCode.DEADLINE_MISSED or (message.deliver_by and message.deliver_by <= now)
    words = {ANY, str(failure.failure_class), str(failure.code)}
    return frozenset(words | {LATE} if late else words)


def _may_resend(step: PlanStep, message: MessageState, failure: Failure) -> bool:
    """Return whether another attempt is allowed: never to a recipient who opted out, nor where it might send twice.

    A message that failed for unknown reasons may have arrived, so a step must name that failure: `any` does not include
    it.
    """
    if failure.failure_class is FailureClass.OPT_OUT or message.error_code in _NEVER_AGAIN:
        return False
    if failure.failure_class is FailureClass.AMBIGUOUS:
        return bool(step.on & {str(FailureClass.AMBIGUOUS), str(failure.code)})
    return True


def _is_too_dear(plan: Plan, message: MessageState, segments: int) -> bool:
    if plan.max_segments is None:
        return False
    taken = plan.all_left & ~message.steps_left
    resent = sum(
        1 for number, step in enumerate(plan.steps) if taken & (1 << number) and step.do is Do.RESEND
    )
    return (resent + 2) * segments > plan.max_segments


def _request_fallback(
    message: MessageState,
    number: int,
    step: PlanStep,
    payload: dict[str, object],
    *,
    now: datetime,
    receipt_id: UUID,
) -> Followed:
    told = Step(
        source=Source.SYSTEM,
        status=message.status,
        attempt=message.attempt,
        at=now,
        receipt_id=receipt_id,
        due_at=message.due_at,
        error_code=message.error_code,
        reason=PLAN_FALLBACK,
        payload=payload,
    )
    noted, event = record_only(message, told)
    return Followed(_without(noted, number), event, number, step)
