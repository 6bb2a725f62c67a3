"""Record the outcomes of attempts: accepted, refused, to be retried, or unknown."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog

from smsapp import backoff as retry
from smsapp.backoff import POLICIES
from smsapp.ids import new_id, public_id
from smsapp.lifecycle.apply import apply
from smsapp.lifecycle.record_reports import TargetedReport, record_reports, report_of
from smsapp.messages.fold import Event, MessageState, Source, Step, apply_step, record_only
from smsapp.messages.status import Status
from smsapp.recipients.quiet_hours import QUIET_HOURS
from smsapp.runtime import Runtime, Transaction
from smsapp.submission.breakers import ask_before_parking, is_callers_own_sender, trip_breakers
from smsapp.submission.outbound import Outbound
from smsapp.times import rfc3339
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import Submission, TwilioMessage
from smsapp.twilio.judgement import Judgement, SubmissionVerdict

log = structlog.get_logger(__name__)

SubmissionResult = tuple[Outbound, Submission]


def submit(rt: Runtime, message: Outbound) -> Submission:
    """Submit the message to Twilio, unless it is late, the recipient opted out, or it is held."""
    return _kept_back(message, rt.clock()) or rt.gateway.submit(message)


def _kept_back(message: Outbound, now: datetime) -> Submission | None:
    """Return the outcome of a message that is not submitted, or not yet; None for one to submit."""
    if message.is_late(now):
        return Submission(judgement=Judgement.too_late(), cause="too_late", requested=False)
    if message.opted_out:
        return Submission(judgement=Judgement.opted_out(), cause="opted_out", requested=False)
    if until := message.held_until(now):
        return Submission(judgement=Judgement.quiet(), cause=QUIET_HOURS, held_until=until, requested=False)
    if hold := message.hold:
        return Submission(
            judgement=Judgement.held(hold.code),
            cause=hold.code.name.lower(),
            held_until=hold.until,
            requested=False,
        )
    if message.is_removed:  # it was sensitive
        return Submission(judgement=Judgement.removed(), cause="text_removed", requested=False)
    return None


def record_submissions(rt: Runtime, results: Sequence[SubmissionResult]) -> None:
    """Store the outcomes of attempts; one transaction for what Twilio accepted, one for the rest.

    A callback may have overtaken an answer. The answer is then recorded as evidence, and the status stays. Before a
    refusal parks the account, Twilio is asked for the account itself.
    """
    accepted = [(message, result.message) for message, result in results if result.message]
    others: Sequence[SubmissionResult] = [item for item in results if item[1].message is None]
    now = rt.clock()
    if accepted:
        with rt.transaction() as tx:
            record_reports(rt, tx, [_answer(rt, message, reply, now) for message, reply in accepted])
    if others:
        others, account = ask_before_parking(rt, others)
        with rt.transaction() as tx:
            _record_others(rt, tx, others, now)
            trip_breakers(rt, tx.session, others, now, account=account)
    for message, result in results:
        _log(message, result)


def _answer(rt: Runtime, message: Outbound, reply: TwilioMessage, now: datetime) -> TargetedReport:
    poll_at = now + rt.settings.poll_ages[0]
    report = report_of(reply, Source.API, attempt=message.attempt, now=now, poll_at=poll_at)
    return TargetedReport(message.id, report)


def _record_others(rt: Runtime, tx: Transaction, results: Sequence[SubmissionResult], now: datetime) -> None:
    by_id = {outbound.id: (outbound, result) for outbound, result in results}

    def decide(message: MessageState) -> tuple[MessageState, Event]:
        outbound, result = by_id[message.id]
        step = _step(rt, outbound, result, now)
        ours = (
            message.status in {Status.SUBMITTING, Status.UNCONFIRMED} and message.attempt == outbound.attempt
        )
        return apply_step(message, step) if ours else record_only(message, step)

    apply(rt, tx, list(by_id), decide)


def _step(rt: Runtime, outbound: Outbound, result: Submission, now: datetime) -> Step:
    """Return the step for a message that Twilio has not accepted, as far as we know."""
    judgement = result.judgement
    assert judgement is not None
    step = Step(
        source=Source.API,
        status=Status.FAILED,
        attempt=outbound.attempt,
        at=now,
        receipt_id=new_id(),
        due_at=None,
        error_code=judgement.code,
        reason=result.cause,
    )
    if judgement.verdict is SubmissionVerdict.REFUSED or is_callers_own_sender(rt, outbound, judgement):
        return step
    if result.held_until:  # nothing was submitted, so the attempt number stays
        return replace(step, status=Status.PENDING, due_at=result.held_until)
    if judgement.verdict is SubmissionVerdict.UNKNOWN:
        look_at = now + rt.settings.unconfirmed_lookup_after
        return replace(step, status=Status.UNCONFIRMED, due_at=look_at)
    policy = POLICIES[judgement.wait]
    max_age = min(policy.max_age, rt.settings.send_max_age)
    due_at = retry.next_due(
        replace(policy, max_age=max_age),
        attempt=outbound.attempt,
        now=now,
        created_at=outbound.wanted_at,
        deliver_by=outbound.deliver_by,
        retry_after=retry.retry_after(result.retry_after, now=now),
        rng=rt.rng,
    )
    if due_at is None:
        hurried = outbound.deliver_by and outbound.deliver_by < outbound.wanted_at + max_age
        ended = OwnCode.DEADLINE_MISSED if hurried else OwnCode.GAVE_UP
        # Twilio's error code is more specific than "too late"; the history entry records both.
        return replace(step, error_code=judgement.twilio_code or ended, reason=ended.name.lower())
    return replace(step, status=Status.PENDING, attempt=outbound.attempt + 1, due_at=due_at)


def _log(message: Outbound, result: Submission) -> None:
    """Log the outcome; only a request made to Twilio counts as a submission."""
    tell = partial(
        log.info,
        message_id=public_id(message.id),
        request_id=message.request_id,
        attempt=message.attempt,
        error_code=result.judgement.code if result.judgement else None,
        cause=result.cause,
    )
    if result.requested:
        verdict = str(result.judgement.verdict) if result.judgement else "accepted"
        tell("message_submitted", verdict=verdict, twilio_sid=result.message.sid if result.message else None)
    elif result.held_until:
        tell("message_held", until=rfc3339(result.held_until))
    else:
        tell("message_not_submitted")
