"""An operator's decisions: add a suppression or lift one; either is recorded with its reason."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.ids import suppression_id
from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.models import Suppression
from smsapp.suppressions.record import record_opt_outs
from smsapp.suppressions.rules import EVERY_SENDER, OptOutEvidence, OptOutSource

_TICK = timedelta(microseconds=1)


class SuppressionNotFoundError(Exception):
    """There is no such suppression."""


def add_suppression(
    rt: Runtime, recipient: str, scope: str | None, *, note: str | None = None, api_key_id: UUID | None = None
) -> tuple[Suppression, bool]:
    """Suppress a recipient for a sender or Messaging Service; None means every sender.

    Returns the suppression, and whether it changed; a note is recorded either way.
    """
    with rt.transaction() as tx:
        evidence = OptOutEvidence(
            recipient=recipient,
            scopes=[scope or EVERY_SENDER],
            suppressed=True,
            source=OptOutSource.OPERATOR,
            at=rt.clock(),
            note=note,
            api_key_id=api_key_id,
        )
        recorded = record_opt_outs(rt, tx, [evidence])[0]
        subject = suppression_id(recorded.ids[0])
        audit.record(tx.session, Act.SUPPRESSION_ADDED, subject, now=rt.clock())
        return _get(tx.session, recorded.ids[0]), bool(recorded.changed)


def lift_suppression(
    rt: Runtime, own_id: UUID, *, note: str | None = None, api_key_id: UUID | None = None
) -> Suppression:
    """Allow the recipient to be texted again by us; Twilio keeps its own opt-out until they text START.

    Raises:
        SuppressionNotFoundError: there is none by this id.
    """
    with rt.transaction() as tx:
        found = _get(tx.session, own_id)
        if found.suppressed:
            evidence = OptOutEvidence(
                recipient=found.recipient,
                scopes=[found.scope],
                suppressed=False,
                source=OptOutSource.OPERATOR,
                at=max(
                    rt.clock(), found.at + _TICK
                ),  # the operator has seen the current state, so the decision is newer, whatever the clocks say
                note=note,
                api_key_id=api_key_id,
            )
            record_opt_outs(rt, tx, [evidence])
            audit.record(tx.session, Act.SUPPRESSION_LIFTED, suppression_id(found.id), now=rt.clock())
        return _get(tx.session, own_id)


def _get(session: Session, own_id: UUID) -> Suppression:
    found = suppressions.get(session, own_id)
    if found is None:
        raise SuppressionNotFoundError
    return found
