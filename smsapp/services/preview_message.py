"""Say what a request to send would come to, without doing any of it: nothing is stored, nobody is called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from smsapp.domain.documents import rfc3339
from smsapp.domain.draft import Draft, time_fault
from smsapp.domain.prices import Price, estimate
from smsapp.domain.quiet import held_until
from smsapp.domain.verdict import Finding, Verdict
from smsapp.runtime import Runtime
from smsapp.store import breakers, suppressions
from smsapp.store.sessions import reading

Check = Callable[[Session, Draft, datetime], Finding]


@dataclass(frozen=True, slots=True)
class Preview:
    """What would be done with a draft. `price` is None where the operator has set none."""

    findings: Sequence[Finding]
    price: Price | None


def preview_message(rt: Runtime, draft: Draft) -> Preview:
    """Return what every check says of the draft now, and what it would cost."""
    now = rt.clock()
    with reading(rt.sessions) as session:
        findings = [check(session, draft, now) for check in CHECKS]
    price = estimate(
        rt.settings.price_per_segment,
        rt.settings.price_currency,
        region=draft.recipient.region,
        segments=draft.measure.segments,
    )
    return Preview(findings, price)


def check_number(_session: Session, draft: Draft, _now: datetime) -> Finding:
    """Say whether the numbering plan knows the recipient's number."""
    if draft.recipient.valid:
        return Finding("number", Verdict.PASS, "The number is one that exists in its country's plan.")
    return Finding(
        "number",
        Verdict.WARN,
        "This number is possible, but no such number is known to exist.",
        "number_not_known",
    )


def check_times(_session: Session, draft: Draft, now: datetime) -> Finding:
    """Say whether the request's times can be kept."""
    fault = time_fault(draft.send_at, draft.deliver_by, now)
    if fault:
        return Finding("times", Verdict.REFUSE, f"{fault.field}: {fault.sentence}", fault.code)
    return Finding("times", Verdict.PASS, "Its times can be kept.")


def check_sending(session: Session, draft: Draft, now: datetime) -> Finding:
    """Say whether the account and the sender are open at present."""
    for scope in (breakers.ACCOUNT, draft.sender or draft.messaging_service_sid or ""):
        if breakers.is_closed(session, scope, now=now):
            what = "this account" if scope == breakers.ACCOUNT else "this sender"
            return Finding(
                "sending", Verdict.HOLD, f"Sending is paused for {what}; it would wait.", "sending_paused"
            )
    return Finding("sending", Verdict.PASS, "Account and sender are open.")


def check_opt_out(session: Session, draft: Draft, _now: datetime) -> Finding:
    """Say whether the recipient wants texts of this sender."""
    recipient = draft.recipient.e164
    pairs = suppressions.among(session, [recipient])
    if suppressions.concerns(recipient, (draft.sender, draft.messaging_service_sid), pairs):
        detail = "The recipient has opted out of messages from this sender."
        return Finding("opt_out", Verdict.REFUSE, detail, "recipient_opted_out")
    return Finding("opt_out", Verdict.PASS, "The recipient has not opted out, as far as is known.")


def check_quiet_hours(_session: Session, draft: Draft, now: datetime) -> Finding:
    """Say whether it is night at the recipient's when the text would go out."""
    at = max(draft.send_at, now) if draft.send_at else now
    until = held_until(draft.recipient.e164, draft.quiet_hours, now=at, deliver_by=None)
    if until is None:
        return Finding("quiet_hours", Verdict.PASS, "No quiet hours hold it back.")
    detail = f"It would wait for the end of the recipient's quiet hours, {rfc3339(until)}."
    if draft.deliver_by and until >= draft.deliver_by:
        detail = "The recipient's quiet hours end after deliver_by; it would wait until then and fail."
    return Finding("quiet_hours", Verdict.HOLD, detail, "quiet_hours")


CHECKS: tuple[Check, ...] = (check_number, check_times, check_opt_out, check_quiet_hours, check_sending)
"""Asked in this order; each says of one thing what it would come to, and changes nothing."""
