"""An operator's word on who may be texted: add a suppression, or lift one; either is kept with its reason."""

from datetime import timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.models import Suppression
from smsapp.suppressions.record import record_opt_outs
from smsapp.suppressions.rules import EVERY_SENDER, OptOutEvidence, OptOutSource

_TICK = timedelta(microseconds=1)


class SuppressionNotFoundError(Exception):
    """There is no such suppression."""


def add_suppression(
    rt: Runtime, recipient: str, scope: str | None, *, note: str, api_key_id: UUID | None = None
) -> tuple[Suppression, bool]:
    """Suppress a recipient for a sender or Messaging Service, None for every sender.

    Returns the suppression, and whether that changed anything; the note is kept either way.
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
        return _get(tx.session, recorded.ids[0]), bool(recorded.changed)


def lift_suppression(
    rt: Runtime, suppression_id: UUID, *, note: str, api_key_id: UUID | None = None
) -> Suppression:
    """Let the recipient be texted again, as far as we are concerned; Twilio keeps an opt-out of its own until START.

    Raises:
        SuppressionNotFoundError: there is none by this id.
    """
    with rt.transaction() as tx:
        found = _get(tx.session, suppression_id)
        if found.suppressed:
            evidence = OptOutEvidence(
                recipient=found.recipient,
                scopes=[found.scope],
                suppressed=False,
                source=OptOutSource.OPERATOR,
                at=max(
                    rt.clock(), found.at + _TICK
                ),  # whoever decides knows what is known, whatever the clocks say
                note=note,
                api_key_id=api_key_id,
            )
            record_opt_outs(rt, tx, [evidence])
        return _get(tx.session, suppression_id)


def _get(session: Session, suppression_id: UUID) -> Suppression:
    found = suppressions.get(session, suppression_id)
    if found is None:
        raise SuppressionNotFoundError
    return found
