"""Find out whether Twilio has a message whose create response was lost; if that stays unknown, follow its policy.

A create is not idempotent and takes no idempotency key: after a lost response, sending again may send twice
(https://www.twilio.com/docs/api/errors/20500). So we list Twilio's messages to that number and match them by body, as
far as we know it and Twilio leaves it alone, and time, leaving out those that belong to other messages. A callback,
which carries our id, may settle the question earlier.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from functools import partial
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.db.sessions import reading
from smsapp.ids import new_id, public_id
from smsapp.lifecycle.apply import apply
from smsapp.lifecycle.record_reports import TargetedReport, record_reports, report_of
from smsapp.messages import queries as messages
from smsapp.messages.fold import Event, MessageState, Source, Step, apply_step
from smsapp.messages.refold import HELD
from smsapp.messages.status import Outcome, Status
from smsapp.pacing.wake_senders import wake_senders
from smsapp.recipients.phone import address
from smsapp.reconciliation import queries
from smsapp.reconciliation.queries import DuplicateCandidate
from smsapp.reconciliation.rules import Sought
from smsapp.reconciliation.take_new import take_new
from smsapp.runtime import Runtime, Transaction
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import TwilioMessage

_LISTED = 200
_CLOCK_SKEW = timedelta(minutes=2)


def settle_unconfirmed(rt: Runtime, message: MessageState) -> bool:
    """Adopt the message's SID if Twilio lists it, else wait or follow the policy; return whether Twilio has it.

    Raises:
        TwilioUnavailableError: Twilio could not be asked; the message stays due.
    """
    with reading(rt.sessions) as session:
        mine = _of(message, queries.duplicate_candidates(session, message.id))
    if mine is None:
        return False  # a callback settled it first
    listed = list(rt.gateway.list_to(address(mine.to, mine.sender), limit=_LISTED))
    now = rt.clock()
    with rt.transaction() as tx:
        found = _look_up(rt, tx, message, listed, now)
        if found is not None:
            poll_at = now + rt.settings.poll_ages[0]
            report = report_of(found, Source.POLL, attempt=message.attempt, now=now, poll_at=poll_at)
            record_reports(rt, tx, [TargetedReport(message.id, report)])
    return found is not None


def _look_up(
    rt: Runtime, tx: Transaction, message: MessageState, listed: Sequence[TwilioMessage], now: datetime
) -> TwilioMessage | None:
    """Return which of the listed messages is ours; without a match, wait or follow the policy.

    The duplicates are read again here: one that was being submitted a moment ago now has its SID, or competes for one.
    """
    locked = messages.lock(tx.session, [message.id]).get(message.id)
    if locked is None or locked.status is not Status.UNCONFIRMED or locked.attempt != message.attempt:
        return None
    duplicates = queries.duplicate_candidates(tx.session, message.id)
    mine = _of(message, duplicates)
    if mine is None:
        return None
    # While a duplicate is being submitted its SID is unknown, and a record that looks unbound may belong to it.
    busy = any(candidate.status is Status.SUBMITTING for candidate in duplicates)
    match = (
        _Match() if busy else _match(tx.session, mine, duplicates, listed, longest=_longest_submission(rt))
    )
    if match.found is None:
        step = partial(_not_found, rt, mine=mine, now=now, busy=busy, doubtful=match.doubtful)
        take_new(rt, tx, [message.id], step)
    return match.found


def _of(message: MessageState, duplicates: Sequence[DuplicateCandidate]) -> DuplicateCandidate | None:
    return next((candidate for candidate in duplicates if candidate.id == message.id), None)


def _longest_submission(rt: Runtime) -> timedelta:
    """Return how long after its claim a message may still reach Twilio; later records belong to other claims."""
    return max(rt.settings.send_lease, rt.settings.unconfirmed_grace)


class Decision(StrEnum):
    """An operator's decision about an unconfirmed message."""

    RESEND = "resend"
    FAIL = "fail"


def decide_unconfirmed(rt: Runtime, message_id: UUID, decision: Decision) -> bool:
    """Carry out an operator's decision; return False when the message is not unconfirmed (any more)."""
    now = rt.clock()

    def decide(message: MessageState) -> tuple[MessageState, Event] | None:
        if message.status is not Status.UNCONFIRMED:
            return None
        step = Step(
            source=Source.OPERATOR,
            status=Status.UNCONFIRMED,
            attempt=message.attempt,
            at=now,
            receipt_id=new_id(),
            due_at=None,
        )
        return apply_step(message, _ended(step, decision, now))

    with rt.transaction() as tx:
        decided = bool(apply(rt, tx, [message_id], decide))
        if decided:
            audit.record(
                tx.session,
                Act.UNCONFIRMED_DECIDED,
                public_id(message_id),
                now=now,
                details={"decision": str(decision)},
            )
    if decided:
        wake_senders(rt)
    return decided


def _ended(step: Step, decision: Decision, now: datetime) -> Step:
    """Return the step that settles the message: a new attempt at the risk of a second text, or failure."""
    if decision is Decision.RESEND:
        return replace(
            step, status=Status.PENDING, attempt=step.attempt + 1, due_at=now, reason="resend_unconfirmed"
        )
    return replace(
        step,
        status=Status.FAILED,
        due_at=None,
        error_code=OwnCode.NOT_FOUND_AT_TWILIO,
        reason="given_up_unconfirmed",
    )


@dataclass(frozen=True, slots=True)
class _Match:
    """Twilio's record of our message; `doubtful`: none can be told to be ours, but one may be."""

    found: TwilioMessage | None = None
    doubtful: bool = False


def _match(
    session: Session,
    mine: DuplicateCandidate,
    duplicates: Sequence[DuplicateCandidate],
    listed: Sequence[TwilioMessage],
    *,
    longest: timedelta,
) -> _Match:
    """Return the listed message that can only be ours.

    Identical texts to one number are distinguished by time: in order of submission, each lost one is matched with the
    earliest unbound record in its time window; those whose body is exactly ours first, then those that Twilio may have
    made of it, and last, for a Content template, whatever text is left. Of several different texts that it may have
    made of ours, none is.
    """
    bound = queries.bound_sids(session, [found.sid for found in listed])
    dated = [(found.created_at, found) for found in listed if found.created_at and found.sid not in bound]
    free = [found for _, found in sorted(dated, key=lambda item: (item[0], item[1].sid))]
    matched: dict[UUID, TwilioMessage] = {}
    for is_ours in (_is_exactly, _is_text_of, _is_template_of):
        for candidate in sorted(duplicates, key=lambda candidate: (candidate.claimed_at, candidate.id)):
            fitting = [
                each for each in free if _fits(candidate, each, longest) and is_ours(candidate.sought, each)
            ]
            if candidate.id not in matched and len({each.body for each in fitting}) == 1:
                matched[candidate.id] = fitting[0]
                free.remove(fitting[0])
    found = matched.get(mine.id)
    doubtful = any(
        _fits(mine, each, longest) and mine.sought.may_be(each.body, each.num_media) for each in free
    )
    return _Match(found, doubtful=found is None and doubtful)


def _is_exactly(ours: Sought, theirs: TwilioMessage) -> bool:
    return ours.is_exactly(theirs.body)


def _is_text_of(ours: Sought, theirs: TwilioMessage) -> bool:
    return ours.body is not None and ours.is_like(theirs.body, theirs.num_media)


def _is_template_of(ours: Sought, theirs: TwilioMessage) -> bool:
    return ours.body is None and ours.is_like(theirs.body, theirs.num_media)


def _fits(candidate: DuplicateCandidate, found: TwilioMessage, longest: timedelta) -> bool:
    """Return whether sender and time of Twilio's message are those of submitting ours."""
    if found.created_at is None or (candidate.sender and found.sender not in {None, candidate.sender}):
        return False
    return -_CLOCK_SKEW <= found.created_at - candidate.claimed_at <= longest + _CLOCK_SKEW


def _not_found(
    rt: Runtime,
    message: MessageState,
    *,
    mine: DuplicateCandidate,
    now: datetime,
    busy: bool,
    doubtful: bool,
) -> Step:
    """Return the step for a message that was not found: look again, or follow the policy once the grace period is over.

    While a duplicate is `busy`, what is listed may yet turn out to be ours. A `doubtful` one is held, whatever the
    policy: it may be among those listed.
    """
    step = Step(
        source=Source.SYSTEM,
        status=Status.UNCONFIRMED,
        attempt=message.attempt,
        at=now,
        receipt_id=new_id(),
        due_at=now + rt.settings.unconfirmed_lookup_after,
        error_code=message.error_code,
        reason="not_found_yet",
    )
    if now - mine.claimed_at < rt.settings.unconfirmed_grace or busy:
        return step
    if mine.on_unconfirmed in {Decision.RESEND, Decision.FAIL} and not doubtful:
        return _ended(step, Decision(mine.on_unconfirmed), now)
    return replace(
        step,
        due_at=now + rt.settings.poll_ages[-1],
        error_code=OwnCode.NOT_FOUND_AT_TWILIO,
        reason=HELD,
        outcome=Outcome.UNCONFIRMED,
    )
