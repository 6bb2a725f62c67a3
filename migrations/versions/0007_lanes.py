"""Lanes: what goes first, and who waits in each.

Revision ID: 0007
Revises: 0006
"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_PENDING = {
    "postgresql_where": sa.text("status = 'pending'"),
    "sqlite_where": sa.text("status = 'pending'"),
}


def upgrade() -> None:
    """Add the columns in place; every existing message is a normal one."""
    op.add_column(
        "messages", sa.Column("lane", sa.SmallInteger(), server_default=sa.text("1"), nullable=False)
    )
    op.add_column("messages", sa.Column("country", sa.String(length=8), nullable=True))
    # SQLite can only add virtual generated columns; PostgreSQL can only index stored ones.
    persisted = op.get_bind().dialect.name == "postgresql" or None
    key = sa.Computed("coalesce(sender, messaging_service_sid)", persisted=persisted)
    op.add_column("messages", sa.Column("sender_key", sa.String(length=64), key))
    op.drop_index("ix_messages_pending_due_at", table_name="messages", **_PENDING)
    op.create_index("ix_messages_pending_lane_due_at", "messages", ["lane", "due_at"], **_PENDING)
    op.create_index(
        "ix_messages_pending_queue", "messages", ["lane", "sender_key", "api_key_id", "due_at"], **_PENDING
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_messages_pending_queue", table_name="messages", **_PENDING)
    op.drop_index("ix_messages_pending_lane_due_at", table_name="messages", **_PENDING)
    op.create_index("ix_messages_pending_due_at", "messages", ["due_at"], **_PENDING)
    op.drop_column("messages", "sender_key")
    op.drop_column("messages", "country")
    op.drop_column("messages", "lane")
