"""How Alembic reaches the database: `python -m smsapp db upgrade` passes the URL on."""

from alembic import context
from sqlalchemy import create_engine

from smsapp.store import job_tables, opt_out_tables  # noqa: F401 - so that the metadata knows them
from smsapp.store.engine import prepare_engine
from smsapp.store.push_tables import Base

url = context.config.attributes["database_url"]
engine = prepare_engine(create_engine(url))
with engine.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=True,
        compare_type=True,
        transaction_per_migration=True,
    )
    with context.begin_transaction():
        context.run_migrations()
engine.dispose()
