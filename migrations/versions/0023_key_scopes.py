"""What a key may do, and until when; the keys that there are may do everything, for ever"""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Apply."""
    every = sa.text("'manage read send'")
    op.add_column("api_keys", sa.Column("scopes", sa.String(40), server_default=every, nullable=False))
    op.add_column("api_keys", sa.Column("expires_at", sa.DateTime(timezone=True)))


def downgrade() -> None:
    """Undo. Keys that were to do less, or to end, are revoked: without these columns they could do everything."""
    less = sa.text("scopes <> 'manage read send' OR expires_at IS NOT NULL")
    keys = sa.table("api_keys", sa.column("revoked_at", sa.DateTime(timezone=True)))
    op.execute(sa.update(keys).where(keys.c.revoked_at.is_(None), less).values(revoked_at=sa.func.now()))
    op.drop_column("api_keys", "expires_at")
    op.drop_column("api_keys", "scopes")
