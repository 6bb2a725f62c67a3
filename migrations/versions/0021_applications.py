"""Applications: each key is of one, and what a key makes belongs to its key's; all there is belongs to `default`"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None

DEFAULT = UUID("00000000-0000-7000-8000-000000000001")
OF_DEFAULT = sa.text(f"'{DEFAULT.hex}'")
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Apply. Processes of the former version go on: what they insert without an application is of `default`."""
    applications = op.create_table(
        "applications",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_applications"),
        sa.UniqueConstraint("name", name="uq_applications_name"),
    )
    op.bulk_insert(applications, [{"id": DEFAULT, "name": "default", "created_at": datetime.now(UTC)}])
    op.add_column("api_keys", owner())
    op.add_column("outbox", sa.Column("api_key_id", sa.Uuid()))
    remake_templates(owned=True)


def downgrade() -> None:
    """Undo. Templates of other applications than `default` are lost: names were unique."""
    remake_templates(owned=False)
    op.drop_column("outbox", "api_key_id")
    op.drop_column("api_keys", "application_id")
    op.drop_table("applications")


def owner() -> sa.Column[UUID]:
    """Return a column that names an application.

    Without a foreign key: SQLite takes none in a new column that has a default.
    """
    return sa.Column("application_id", sa.Uuid(), server_default=OF_DEFAULT, nullable=False)


def remake_templates(*, owned: bool) -> None:
    """Make the tables of templates anew, with the owner in their keys or without, and put back what fits.

    The same on both databases: SQLite cannot change a primary key, and templates are few.
    """
    templates = read("templates", ("name", "version", "created_at", "updated_at"), of_default=not owned)
    versions = read("template_versions", ("name", "version", "body", "created_at"), of_default=not owned)
    op.drop_table("template_versions")
    op.drop_table("templates")
    key = ("application_id", "name") if owned else ("name",)
    made = op.create_table(
        "templates",
        *([owner()] if owned else []),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("updated_at", TIME, nullable=False),
        sa.PrimaryKeyConstraint(*key, name="pk_templates"),
    )
    op.bulk_insert(made, templates)
    made = op.create_table(
        "template_versions",
        *([owner()] if owned else []),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(
            key, [f"templates.{each}" for each in key], name=f"fk_template_versions_{key[0]}"
        ),
        sa.PrimaryKeyConstraint(*key, "version", name="pk_template_versions"),
    )
    op.bulk_insert(made, versions)


def read(name: str, columns: Sequence[str], *, of_default: bool) -> list[dict[str, Any]]:
    """Return the rows of a table, or only those of the application `default`."""
    types = {"name": sa.String(), "version": sa.Integer(), "body": sa.Text()}
    table = sa.table(name, *(sa.column(each, types.get(each, TIME)) for each in columns))
    query = sa.select(table)
    if of_default:
        query = query.where(sa.column("application_id", sa.Uuid()) == DEFAULT)
    return [dict(row._mapping) for row in op.get_bind().execute(query)]  # noqa: SLF001 - public
