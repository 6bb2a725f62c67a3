"""Dry run: say what a send request would do, without doing it. Nothing is stored, and Twilio is not called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from smsapp.breakers import queries as breakers
from smsapp.db.sessions import reading
from smsapp.pacing import backlog as queues
from smsapp.pacing import tallies
from smsapp.pacing.caps import day_of, hold_over, next_day
from smsapp.pacing.fairness import ahead_of
from smsapp.recipients.phone import KINDS_IN_WORDS, NUMBER_REFUSED
from smsapp.recipients.quiet_hours import held_until
from smsapp.runtime import Runtime
from smsapp.sending.draft import Draft, time_fault
from smsapp.sending.prices import Price, estimate
from smsapp.sending.recipient_limit import above_limit
from smsapp.sending.verdict import CheckVerdict, Finding
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.rules import Route
from smsapp.times import rfc3339
from smsapp.twilio.error_codes import OwnCode

_AT_ONCE = timedelta(seconds=1)
"""A delay by the sender's pace that is shorter than this is not reported."""


@dataclass(frozen=True, slots=True)
class Case:
    """A draft to check. `now` is the time of the request, `at` the time at which the text is to be sent."""

    rt: Runtime
    session: Session
    draft: Draft
    now: datetime
    at: datetime

    @property
    def sender(self) -> str:
        """Return the sender whose limits and breakers apply to it."""
        return self.draft.sender or self.draft.messaging_service_sid or ""

    @property
    def quiet_until(self) -> datetime | None:
        """Return until when quiet hours hold the message; None when they do not."""
        return held_until(self.draft.recipient.e164, self.draft.quiet_hours, now=self.at, deliver_by=None)

    @property
    def due(self) -> datetime:
        """Return when the message would become due."""
        return self.quiet_until or self.at


Check = Callable[[Case], Finding]


@dataclass(frozen=True, slots=True)
class Preview:
    """The result of a dry run. `price` is None where the operator has configured none."""

    findings: Sequence[Finding]
    price: Price | None


def preview_message(rt: Runtime, draft: Draft) -> Preview:
    """Return the finding of every check on the draft as of now, and the estimated price."""
    now = rt.clock()
    with reading(rt.sessions) as session:
        case = Case(rt, session, draft, now, max(draft.send_at or now, now))
        findings = [check(case) for check in CHECKS]
    price = estimate(
        rt.settings.price_per_segment,
        rt.settings.price_currency,
        region=draft.recipient.region,
        segments=draft.content.measure.segments,
    )
    return Preview(findings, price)


def check_content(case: Case) -> Finding:
    """Say whether it is known what is sent, and so what it costs."""
    content = case.draft.content
    if content.content_sid:
        detail = "Twilio fills in the Content template, so its segments are not known here; one is counted."
        return Finding("content", CheckVerdict.WARN, detail, "segments_unknown")
    if content.options and content.options.get("shorten_urls"):
        detail = "Twilio shortens the links; segments are counted with the long ones."
        return Finding("content", CheckVerdict.WARN, detail, "links_shortened")
    return Finding("content", CheckVerdict.PASS, "What is sent is known.")


def check_number(case: Case) -> Finding:
    """Say whether the numbering plan knows the recipient's number, and whether its kind is refused."""
    kind = case.draft.recipient.kind
    if kind and kind in case.rt.settings.refuse_number_types:
        detail = f"It is {KINDS_IN_WORDS[kind]}; those are refused here."
        return Finding("number", CheckVerdict.REFUSE, detail, NUMBER_REFUSED)
    if case.draft.recipient.valid:
        return Finding("number", CheckVerdict.PASS, "The number is one that exists in its country's plan.")
    return Finding(
        "number",
        CheckVerdict.WARN,
        "This number is possible, but no such number is known to exist.",
        "number_not_known",
    )


def check_times(case: Case) -> Finding:
    """Say whether `send_at` and `deliver_by` can be kept."""
    fault = time_fault(case.draft.send_at, case.draft.deliver_by, case.now)
    if fault:
        return Finding("times", CheckVerdict.REFUSE, f"{fault.field}: {fault.sentence}", fault.code)
    return Finding("times", CheckVerdict.PASS, "Its times can be kept.")


def check_opt_out(case: Case) -> Finding:
    """Say whether the recipient has opted out of this sender."""
    draft = case.draft
    route = Route(draft.recipient.e164, draft.sender, draft.messaging_service_sid)
    if suppressions.forbids(suppressions.among(case.session, [route]), route):
        detail = "The recipient has opted out of messages from this sender."
        return Finding("opt_out", CheckVerdict.REFUSE, detail, "recipient_opted_out")
    return Finding("opt_out", CheckVerdict.PASS, "The recipient has not opted out, as far as is known.")


def check_recipient(case: Case) -> Finding:
    """Say whether the recipient has got as many messages within a day as are allowed."""
    if above_limit(case.rt, case.session, [case.draft.recipient.e164])[0]:
        detail = "The recipient has got as many messages within 24 hours as are allowed."
        return Finding("recipient", CheckVerdict.REFUSE, detail, "recipient_limit")
    return Finding("recipient", CheckVerdict.PASS, "The recipient may get more messages.")


def check_quiet_hours(case: Case) -> Finding:
    """Say whether quiet hours apply at the recipient's when the text would go out."""
    until, deliver_by = case.quiet_until, case.draft.deliver_by
    if until is None:
        return Finding("quiet_hours", CheckVerdict.PASS, "No quiet hours hold it back.")
    detail = f"It would wait for the end of the recipient's quiet hours, {rfc3339(until)}."
    if deliver_by and until >= deliver_by:
        detail = "The recipient's quiet hours end after deliver_by; it would wait until then and fail."
    return Finding("quiet_hours", CheckVerdict.HOLD, detail, "quiet_hours", until)


def check_caps(case: Case) -> Finding:
    """Say whether a daily cap is reached, in total or for this country; the check itself counts nothing."""
    country, caps = case.draft.recipient.country, case.rt.settings.caps
    counted = tallies.read(case.session, day_of(case.due))
    with_it = {scope: counted.get(scope, 0) + 1 for scope in caps.of(country)}
    held = hold_over([country], with_it, caps)
    if not held:
        return Finding("caps", CheckVerdict.PASS, "More messages may be sent today.")
    code, until = held[0][1], next_day(case.due)
    where = "" if code == OwnCode.DAILY_CAP else f" to {country}"
    detail = f"No more messages may be sent{where} today (UTC); it would wait until {rfc3339(until)}."
    return Finding("caps", CheckVerdict.HOLD, detail, code.name.lower(), until)


def check_country(case: Case) -> Finding:
    """Say whether this country is parked because hardly any recent messages to it were delivered."""
    country = case.draft.recipient.country
    until = breakers.parked_countries(case.session).get(country)
    if until is None:
        return Finding("country", CheckVerdict.PASS, "Messages to this country are not held.")
    detail = f"Too few messages to {country} were delivered of late; it would wait until {rfc3339(until)}."
    return Finding("country", CheckVerdict.HOLD, detail, "country_parked", until)


def check_sending(case: Case) -> Finding:
    """Say whether the account and the sender are open for sending now."""
    for scope in (breakers.ACCOUNT, case.sender):
        if breakers.is_closed(case.session, scope, now=case.now):
            what = "this account" if scope == breakers.ACCOUNT else "this sender"
            return Finding(
                "sending",
                CheckVerdict.HOLD,
                f"Sending is paused for {what}; it would wait.",
                "sending_paused",
            )
    return Finding("sending", CheckVerdict.PASS, "Account and sender are open.")


def check_pace(case: Case) -> Finding:
    """Say roughly when the sender's pace would let the message go; asking consumes none of that pace."""
    rate = case.rt.settings.paces.rate(case.sender)
    if rate is None:
        return Finding("pace", CheckVerdict.PASS, "Its sender has no pace to keep.")
    try:
        behind_s = case.rt.pacer.behind_s(case.sender)
    except (RedisError, OSError):
        return Finding(
            "pace", CheckVerdict.HOLD, "Its sender's pace is not known now; it would wait.", "pace_unknown"
        )
    lane = case.draft.lane
    backlog = queues.backlog(case.session, case.sender, lane, until=case.due)
    before = ahead_of(backlog, lane, case.draft.api_key_id)
    turn = max(case.due, case.now + timedelta(seconds=behind_s + before / rate))
    if turn - case.due < _AT_ONCE:
        return Finding("pace", CheckVerdict.PASS, "Its sender's pace leaves room for it.")
    detail = (
        f"About {before} segments go before it at {rate:g} a second; its turn comes at about {rfc3339(turn)}."
    )
    return Finding("pace", CheckVerdict.HOLD, detail, "pace", turn)


CHECKS: tuple[Check, ...] = (
    check_content,
    check_number,
    check_times,
    check_opt_out,
    check_recipient,
    check_quiet_hours,
    check_caps,
    check_country,
    check_sending,
    check_pace,
)
"""The checks, in the order in which they run. Each covers one condition and has no side effects."""
