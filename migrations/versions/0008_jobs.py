"""Jobs, their rows, and templates."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
_TIME = sa.DateTime(timezone=True)
_OF_JOB = sa.text("job_id IS NOT NULL")
_UNFINISHED = sa.text("finished_at IS NULL")
_WAITING = sa.text("state = 'waiting'")
_COUNTS = (
    "rows",
    "segments",
    "faulty",
    "duplicate",
    "opted_out",
    "waiting",
    "stored",
    "refused",
    "canceled",
)


def upgrade() -> None:
    """Apply."""

    op.create_table(
        "jobs",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("api_key_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("template", sa.String(length=64), nullable=True),
        sa.Column("template_version", sa.Integer(), nullable=True),
        sa.Column("sender", sa.String(length=64), nullable=True),
        sa.Column("messaging_service_sid", sa.String(length=34), nullable=True),
        sa.Column("tags", _JSON, nullable=True),
        sa.Column("on_unconfirmed", sa.String(length=8), nullable=False),
        sa.Column("resend_after_failure", sa.Boolean(), nullable=False),
        sa.Column("deliver_by", _TIME, nullable=True),
        sa.Column("quiet_hours", sa.String(length=11), nullable=True),
        sa.Column("ignored_columns", _JSON, nullable=True),
        sa.Column("request_id", sa.String(length=64), nullable=True),
        *(sa.Column(name, sa.Integer(), nullable=False) for name in _COUNTS),
        sa.Column("segments_by_country", _JSON, nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("started_at", _TIME, nullable=True),
        sa.Column("finished_at", _TIME, nullable=True),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["api_key_id"], ["api_keys.id"], name=op.f("fk_jobs_api_key_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_jobs")),
    )
    op.create_index(
        "ix_jobs_unfinished", "jobs", ["id"], postgresql_where=_UNFINISHED, sqlite_where=_UNFINISHED
    )
    op.create_table(
        "job_rows",
        sa.Column("job_id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("line", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("to", sa.String(length=64), nullable=True),
        sa.Column("body", sa.Text(), nullable=True),
        sa.Column("client_reference", sa.String(length=255), nullable=True),
        sa.Column("reason", sa.String(length=32), nullable=True),
        sa.Column("column", sa.String(length=64), nullable=True),
        sa.Column("message_id", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_rows_job_id")),
        sa.PrimaryKeyConstraint("job_id", "number", name=op.f("pk_job_rows")),
    )
    op.create_index(
        "ix_job_rows_waiting",
        "job_rows",
        ["job_id", "number"],
        postgresql_where=_WAITING,
        sqlite_where=_WAITING,
    )
    op.create_table(
        "templates",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("updated_at", _TIME, nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_templates")),
    )
    op.create_table(
        "template_versions",
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(["name"], ["templates.name"], name=op.f("fk_template_versions_name")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_template_versions")),
    )
    # No foreign key: adding one would rewrite the largest table of SQLite, and lock PostgreSQL's while it is checked.
    op.add_column("messages", sa.Column("job_id", sa.Uuid(), nullable=True))
    op.create_index(
        "ix_messages_job_id_outcome",
        "messages",
        ["job_id", "outcome", "status"],
        postgresql_where=_OF_JOB,
        sqlite_where=_OF_JOB,
    )


def downgrade() -> None:
    """Undo."""

    op.drop_index("ix_messages_job_id_outcome", "messages")
    op.drop_column("messages", "job_id")
    op.drop_table("template_versions")
    op.drop_table("templates")
    op.drop_index("ix_job_rows_waiting", "job_rows")
    op.drop_table("job_rows")
    op.drop_index("ix_jobs_unfinished", "jobs")
    op.drop_table("jobs")
