"""Sensitive messages"""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_WHERE = (
    "redact_at IS NOT NULL AND status <> 'pending' AND status <> 'submitting' AND status <> 'unconfirmed'"
)


def upgrade() -> None:
    """Apply."""
    op.add_column("messages", sa.Column("sensitive", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("messages", sa.Column("redact_at", sa.DateTime(timezone=True), nullable=True))
    op.add_column("messages", sa.Column("redacted_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_messages_redact_at",
        "messages",
        ["redact_at"],
        postgresql_where=sa.text(_WHERE),
        sqlite_where=sa.text(_WHERE),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_messages_redact_at", "messages")
    with op.batch_alter_table("messages") as table:
        table.drop_column("redacted_at")
        table.drop_column("redact_at")
        table.drop_column("sensitive")
