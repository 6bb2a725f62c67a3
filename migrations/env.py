"""How Alembic reaches the database: `python -m smsapp db upgrade` passes the URL on."""

from alembic import context
from sqlalchemy import create_engine

from smsapp.db.engine import prepare_engine
from smsapp.tables import metadata

url = context.config.attributes["database_url"]
engine = prepare_engine(create_engine(url))
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
