"""Who called, really: SIDs of texts outlive the texts, and refused callbacks are kept."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    """Apply."""
    op.create_table(
        "forgotten_texts",
        sa.Column("twilio_sid", sa.String(34), nullable=False),
        sa.PrimaryKeyConstraint("twilio_sid", name=op.f("pk_forgotten_texts")),
    )
    op.create_table(
        "refused_callbacks",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.String(64), nullable=False),
        sa.Column("kind", sa.String(8), nullable=False),
        sa.Column("reason", sa.String(32), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("scheme", sa.String(8), nullable=False),
        sa.Column("host", sa.Text(), nullable=False),
        sa.Column("parameters", JSON, nullable=False),
        sa.Column("account", sa.String(8), nullable=False),
        sa.Column("signed_url", sa.Text()),
        sa.Column("differs", JSON),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_refused_callbacks")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_refused_callbacks_fingerprint")),
    )


def downgrade() -> None:
    """Undo."""
    op.drop_table("refused_callbacks")
    op.drop_table("forgotten_texts")
