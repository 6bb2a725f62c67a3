"""A longer status, the sender that Twilio chose, and the carrier's time of a report.

Revision ID: 0017
Revises: 0016
"""

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns in place. SQLite enforces no lengths, so only PostgreSQL's status needs to grow."""
    op.add_column("messages", sa.Column("actual_sender", sa.String(length=64), nullable=True))
    op.add_column("messages", sa.Column("carrier_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("message_events", sa.Column("carrier_at", sa.DateTime(timezone=True), nullable=True))
    if op.get_bind().dialect.name == "postgresql":
        op.alter_column("messages", "status", type_=sa.String(length=32), existing_nullable=False)


def downgrade() -> None:
    """Undo; a message whose parts arrived in part counts as sent again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("UPDATE messages SET status = 'sent' WHERE status = 'partially_delivered'")
        op.alter_column("messages", "status", type_=sa.String(length=16), existing_nullable=False)
    op.drop_column("message_events", "carrier_at")
    op.drop_column("messages", "carrier_at")
    op.drop_column("messages", "actual_sender")
