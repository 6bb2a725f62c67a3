"""Messages of a job, newest first."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    of_job = sa.text("job_id IS NOT NULL")
    op.create_index(
        "ix_messages_job_id_id", "messages", ["job_id", "id"], postgresql_where=of_job, sqlite_where=of_job
    )


def downgrade() -> None:
    """Undo."""
    op.drop_index("ix_messages_job_id_id", "messages")
