"""The table of callbacks that wait in the database is called by what it is."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    _rename("inbox", "callback_spool")


def downgrade() -> None:
    """Undo."""
    _rename("callback_spool", "inbox")


def _rename(before: str, after: str) -> None:
    op.drop_index(f"ix_{before}_twilio_sid", before)
    op.rename_table(before, after)
    op.create_index(f"ix_{after}_twilio_sid", after, ["twilio_sid"])
    if op.get_context().dialect.name == "postgresql":
        op.execute(f"ALTER TABLE {after} RENAME CONSTRAINT pk_{before} TO pk_{after}")
