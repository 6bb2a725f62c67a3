"""Events pushed to consumers"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

CALLBACKS = sa.text("kind = 'callback'")
PENDING = sa.text("status = 'pending'")


def document() -> sa.types.TypeEngine[object]:
    """Return the type of a JSON column."""
    return sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def time(name: str, *, nullable: bool = True) -> sa.Column[object]:
    """Return a column for a time."""
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable)


def upgrade() -> None:
    """Apply."""
    op.add_column("messages", sa.Column("callback_url", sa.Text(), nullable=True))
    op.create_table(
        "subscriptions",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(length=12), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("event_types", document(), nullable=True),
        sa.Column("tags", document(), nullable=True),
        sa.Column("headers", document(), nullable=True),
        sa.Column("secret", sa.Text(), nullable=True),
        sa.Column("former_secret", sa.Text(), nullable=True),
        time("former_secret_until"),
        sa.Column("first_seq", sa.BigInteger(), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        time("disabled_at"),
        sa.Column("disabled_reason", sa.String(length=16), nullable=True),
        time("deleted_at"),
        sa.Column("failures", sa.Integer(), nullable=False),
        time("failing_since"),
        time("paused_until"),
        sa.Column("owner", sa.String(length=40), nullable=True),
        time("owned_until"),
        sa.Column("recover_next", sa.BigInteger(), nullable=True),
        sa.Column("recover_last", sa.BigInteger(), nullable=True),
        time("created_at", nullable=False),
        time("updated_at", nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_subscriptions_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_subscriptions")),
    )
    op.create_index(
        "uq_subscriptions_callback",
        "subscriptions",
        ["api_key_id", "url"],
        unique=True,
        postgresql_where=CALLBACKS,
        sqlite_where=CALLBACKS,
    )
    op.create_table(
        "deliveries",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("subscription_id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.Column("event_type", sa.String(length=32), nullable=False),
        sa.Column("url", sa.Text(), nullable=True),
        sa.Column("payload", document(), nullable=True),
        sa.Column("status", sa.String(length=9), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        time("due_at"),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=32), nullable=True),
        time("created_at", nullable=False),
        time("finished_at"),
        sa.ForeignKeyConstraint(
            ["subscription_id"], ["subscriptions.id"], name=op.f("fk_deliveries_subscription_id")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deliveries")),
    )
    op.create_index(
        "uq_deliveries_subscription_id_seq", "deliveries", ["subscription_id", "seq"], unique=True
    )
    op.create_index("ix_deliveries_subscription_id_id", "deliveries", ["subscription_id", "id"])
    op.create_index(
        "ix_deliveries_message_id_subscription_id_seq", "deliveries", ["message_id", "subscription_id", "seq"]
    )
    op.create_index(
        "ix_deliveries_pending_subscription_id_due_at",
        "deliveries",
        ["subscription_id", "due_at"],
        postgresql_where=PENDING,
        sqlite_where=PENDING,
    )
    op.create_table(
        "delivery_attempts",
        sa.Column("delivery_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        time("began_at", nullable=False),
        sa.Column("duration_ms", sa.Integer(), nullable=False),
        sa.Column("status_code", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=32), nullable=True),
        sa.Column("response", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["delivery_id"], ["deliveries.id"], name=op.f("fk_delivery_attempts_delivery_id")
        ),
        sa.PrimaryKeyConstraint("delivery_id", "number", name=op.f("pk_delivery_attempts")),
    )
    # Events from before subscriptions existed belong to no consumer.
    op.execute("INSERT INTO counters (name, value) SELECT 'events_fanned_out', seq FROM outbox_head")


def downgrade() -> None:
    """Undo."""
    op.execute("DELETE FROM counters WHERE name = 'events_fanned_out'")
    op.drop_table("delivery_attempts")
    op.drop_table("deliveries")
    op.drop_table("subscriptions")
    op.execute("ALTER TABLE messages DROP COLUMN callback_url")
