"""What a message consists of besides text and media: options, and variables of Content templates"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MESSAGES = sa.table(
    "messages",
    sa.column("body", sa.Text()),
    sa.column("sensitive", sa.Boolean()),
    sa.column("media_urls", JSON),
    sa.column("options", JSON),
)


def upgrade() -> None:
    """Apply. A text that was removed is marked so where it had media: an empty body does not say it any more."""
    op.add_column("messages", sa.Column("options", JSON))
    op.add_column("jobs", sa.Column("media_urls", JSON))
    op.add_column("jobs", sa.Column("options", JSON))
    op.add_column("job_rows", sa.Column("content_variables", JSON))
    has_media = sa.cast(MESSAGES.c.media_urls, sa.Text).like("[%")  # neither NULL nor JSON's null
    emptied = sa.and_(MESSAGES.c.body == "", MESSAGES.c.sensitive, has_media)
    op.execute(sa.update(MESSAGES).where(emptied).values(options={"removed": True}))


def downgrade() -> None:
    """Undo."""
    op.drop_column("job_rows", "content_variables")
    op.drop_column("jobs", "options")
    op.drop_column("jobs", "media_urls")
    op.drop_column("messages", "options")
