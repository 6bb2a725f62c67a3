"""Plans for failures"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    json = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
    op.add_column("messages", sa.Column("on_failure", json, nullable=True))
    op.add_column(
        "messages", sa.Column("steps_left", sa.SmallInteger(), server_default=sa.text("0"), nullable=False)
    )


def downgrade() -> None:
    """Undo."""
    op.drop_column("messages", "steps_left")
    op.drop_column("messages", "on_failure")
