"""Tallies: what went out on each day."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "tallies",
        sa.Column("day", sa.String(length=10), nullable=False),
        sa.Column("scope", sa.String(length=8), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("day", "scope", name=op.f("pk_tallies")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("tallies")
