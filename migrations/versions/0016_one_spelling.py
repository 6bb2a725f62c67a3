"""A phone that has several spellings has one row for each scope of its suppressions"""

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None

SUPPRESSIONS = sa.table(
    "suppressions",
    sa.column("id", sa.Uuid()),
    sa.column("recipient", sa.String()),
    sa.column("scope", sa.String()),
    sa.column("suppressed", sa.Boolean()),
    sa.column("at", sa.DateTime(timezone=True)),
    sa.column("version", sa.Integer()),
)
EVENTS = sa.table(
    "suppression_events",
    sa.column("suppression_id", sa.Uuid()),
    sa.column("seq", sa.Integer()),
    sa.column("recorded_at", sa.DateTime(timezone=True)),
)
WHATSAPP = "whatsapp:"
CURRENT = (
    (re.compile(r"\A\+521([0-9]{10})\Z"), r"+52\1"),
    (re.compile(r"\A\+55([0-9]{2})([6-9][0-9]{7})\Z"), r"+55\g<1>9\2"),
    (re.compile(r"\A\+54([1-8][0-9]{9})\Z"), r"+549\1"),
)
"""As `smsapp.recipients.identity` has it at this revision."""


def upgrade() -> None:
    """Apply. Of two rows that become one, what spares the recipient is kept, else what is newer; no history is lost."""
    connection = op.get_bind()
    countries = sa.or_(*(SUPPRESSIONS.c.recipient.like(f"%+{code}%") for code in (52, 54, 55)))
    on_whatsapp = SUPPRESSIONS.c.scope.startswith(WHATSAPP)
    rows = connection.execute(sa.select(SUPPRESSIONS).where(sa.or_(countries, on_whatsapp))).all()
    known: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        known.setdefault((identity(row.recipient, row.scope), row.scope), []).append(row)
    for (recipient, _), spelled in known.items():
        kept = max(spelled, key=lambda row: (row.suppressed, row.at, row.id))
        for other in spelled:
            if other is not kept:
                merge(connection, other, kept)
        connection.execute(
            sa.update(SUPPRESSIONS).where(SUPPRESSIONS.c.id == kept.id).values(recipient=recipient)
        )


def downgrade() -> None:
    """Undo nothing: every spelling is among those that the former version knows."""


def identity(recipient: str, scope: str) -> str:
    """Return the one spelling by which a phone is known to the senders of a scope."""
    channel = WHATSAPP if scope.startswith(WHATSAPP) or recipient.startswith(WHATSAPP) else ""
    number = recipient.removeprefix(WHATSAPP)
    for former, current in CURRENT:
        number = former.sub(current, number)
    return channel + number


def merge(connection: sa.Connection, other: Any, kept: Any) -> None:
    """Give the history of one row to another, in the order of recording, and remove it."""
    events = connection.execute(
        sa.select(EVENTS)
        .where(EVENTS.c.suppression_id.in_([other.id, kept.id]))
        .order_by(EVENTS.c.recorded_at, EVENTS.c.suppression_id, EVENTS.c.seq)
    ).all()
    for seq, event in enumerate(events, start=1):
        this = sa.and_(EVENTS.c.suppression_id == event.suppression_id, EVENTS.c.seq == event.seq)
        # Negative for a moment: two lines may never have one number.
        connection.execute(sa.update(EVENTS).where(this).values(suppression_id=kept.id, seq=-seq))
    of_both = EVENTS.c.suppression_id == kept.id
    connection.execute(sa.update(EVENTS).where(of_both).values(seq=-EVENTS.c.seq))
    connection.execute(sa.delete(SUPPRESSIONS).where(SUPPRESSIONS.c.id == other.id))
    is_kept = SUPPRESSIONS.c.id == kept.id
    connection.execute(sa.update(SUPPRESSIONS).where(is_kept).values(version=len(events)))
