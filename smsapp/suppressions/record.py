"""Record opt-outs and emit their events, in the transaction that brings the evidence."""

from collections.abc import Sequence

from smsapp.events.types import EventType
from smsapp.ids import inbound_id, new_id, public_id, suppression_id
from smsapp.inbound.keywords import Keyword, keyword_of
from smsapp.inbound.rules import InboundText
from smsapp.messages import queries as messages
from smsapp.messages.queries import Change
from smsapp.ports import PendingEvent
from smsapp.runtime import Runtime, Transaction
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.queries import Recorded
from smsapp.suppressions.rules import (
    EVERY_SENDER,
    OPTED_OUT_AT_TWILIO,
    OptOutEvidence,
    OptOutSource,
    recipient_key,
)
from smsapp.twilio.callback import Callback


def record_opt_outs(rt: Runtime, tx: Transaction, evidences: Sequence[OptOutEvidence]) -> list[Recorded]:
    """Store evidence in the caller's transaction; emit one event per piece of evidence that changes something."""
    if not evidences:
        return []
    recorded = suppressions.record(tx.session, evidences, now=rt.clock())
    for each in recorded:
        if each.changed:
            tx.emit(_told(each))
    rt.any_suppression.expect()
    return recorded


def record_keywords(rt: Runtime, tx: Transaction, texts: Sequence[tuple[InboundText, Callback]]) -> None:
    """Record what people asked for by keyword; Twilio has replied already, so we send no reply."""
    found = [_asked(inbound, receipt) for inbound, receipt in texts]
    record_opt_outs(rt, tx, [evidence for evidence in found if evidence])


def record_refusals(rt: Runtime, tx: Transaction, changes: Sequence[Change]) -> None:
    """Record the opt-outs behind Twilio's refusals with 21610, whether in the response or in a callback.

    Each opt-out existed at the latest when its message was submitted: a START since then is newer.
    """
    told = {change.after.id: change for change in changes if _tells_of_opt_out(change)}
    if not told:
        return
    evidences = [
        OptOutEvidence(
            recipient=row.to,
            scopes=[scope for scope in (row.sender, row.messaging_service_sid) if scope],
            suppressed=True,
            source=OptOutSource.TWILIO,
            at=told[row.id].before.submitted_at or told[row.id].before.updated_at or rt.clock(),
            reference=public_id(row.id),
        )
        for row in messages.addresses(tx.session, list(told))
    ]
    record_opt_outs(rt, tx, evidences)


def _asked(inbound: InboundText, receipt: Callback) -> OptOutEvidence | None:
    keyword = keyword_of(inbound.body, inbound.opt_out_type, to=inbound.to)
    scopes = [scope for scope in (inbound.to, inbound.messaging_service_sid) if scope]
    if keyword not in {Keyword.STOP, Keyword.START} or not scopes:
        return None
    return OptOutEvidence(
        recipient=recipient_key(inbound.sender),
        scopes=[recipient_key(scope) for scope in scopes],
        suppressed=keyword is Keyword.STOP,
        source=OptOutSource.INBOUND,
        at=receipt.received_at,
        reference=inbound_id(receipt.receipt_id),
    )


def _tells_of_opt_out(change: Change) -> bool:
    return change.after.error_code == OPTED_OUT_AT_TWILIO and change.before.error_code != OPTED_OUT_AT_TWILIO


def _told(recorded: Recorded) -> PendingEvent:
    evidence = recorded.evidence
    scopes = recorded.changed_scopes
    return PendingEvent(
        EventType.RECIPIENT_OPTED_OUT if evidence.suppressed else EventType.RECIPIENT_OPTED_IN,
        new_id(),
        evidence.at,
        data={
            "recipient": evidence.recipient,
            "senders": [scope for scope in scopes if scope != EVERY_SENDER],
            "every_sender": EVERY_SENDER in scopes,
            "source": evidence.source,
            "note": evidence.note,
            "reference": evidence.reference,
            "suppressions": [suppression_id(each) for each in recorded.changed],
        },
    )
