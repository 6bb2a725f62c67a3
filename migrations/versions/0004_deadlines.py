"""Deadlines that somebody looks at"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.add_column("messages", sa.Column("deadline_at", sa.DateTime(timezone=True), nullable=True))
    op.create_index(
        "ix_messages_deadline_at",
        "messages",
        ["deadline_at"],
        postgresql_where=sa.text("deadline_at IS NOT NULL"),
        sqlite_where=sa.text("deadline_at IS NOT NULL"),
    )
    op.execute(
        "UPDATE messages SET deadline_at = deliver_by WHERE deliver_by IS NOT NULL AND outcome IS NULL"
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_messages_deadline_at", "messages")
    with op.batch_alter_table("messages") as table:
        table.drop_column("deadline_at")
