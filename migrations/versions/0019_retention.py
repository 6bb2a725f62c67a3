"""How far retention has come, and messages to be erased once they have an outcome"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "retention_positions",
        sa.Column("name", sa.String(16), nullable=False),
        sa.Column("last_id", sa.Uuid(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_retention_positions")),
    )
    op.create_table(
        "erasures",
        sa.Column("message_id", sa.Uuid(), nullable=False),
        sa.Column("requested_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["message_id"], ["messages.id"], name=op.f("fk_erasures_message_id")),
        sa.PrimaryKeyConstraint("message_id", name=op.f("pk_erasures")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("erasures")
    op.drop_table("retention_positions")
