"""Say what a request to send would come to, without doing any of it: nothing is stored, nobody is called."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.orm import Session

from smsapp.domain.draft import Draft
from smsapp.domain.prices import Price, estimate
from smsapp.domain.verdict import Finding, Verdict
from smsapp.runtime import Runtime
from smsapp.store import breakers
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
    fault = draft.time_fault(now)
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


CHECKS: tuple[Check, ...] = (check_number, check_times, check_sending)
"""Asked in this order; each says of one thing what it would come to, and changes nothing."""
