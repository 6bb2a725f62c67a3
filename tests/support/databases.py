"""Empty, migrated databases for tests, made so quickly that each test has one of its own."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

from alembic import command

from dev.postgres_server import FORGETFUL
from dev.servers import PostgresServer
from smsapp.cli.database import alembic_config
from tests.support.environment import make_settings

_TEMPLATE = "smsapp_template"


def migrate(database_url: str) -> None:
    """Bring a database to the newest schema, as `python -m smsapp db upgrade` does."""
    command.upgrade(alembic_config(make_settings(database_url=database_url)), "head")


class SqliteDatabases:
    """Copies of one migrated file."""

    def __init__(self, folder: Path) -> None:
        self._template = folder / "template.db"
        migrate(f"sqlite:///{self._template}")

    @contextmanager
    def fresh(self, folder: Path) -> Iterator[str]:
        """Give the URL of a database in this folder."""
        path = folder / "smsapp.db"
        shutil.copyfile(self._template, path)
        yield f"sqlite:///{path}"


class PostgresDatabases:
    """Copies of one migrated database, on a server whose data does not survive the run."""

    def __init__(self, server: PostgresServer) -> None:
        self.server = server
        self._numbers = count(1)
        migrate(server.create_database(_TEMPLATE))

    @contextmanager
    def fresh(self) -> Iterator[str]:
        """Give the URL of a database, and drop it in the end with every connection to it."""
        name = f"test_{next(self._numbers)}"
        yield self.server.create_database(name, template=_TEMPLATE, strategy="file_copy")
        self.server.drop_database(name)


@contextmanager
def quick_postgres(folder: Path) -> Iterator[PostgresServer]:
    """Run a PostgreSQL for tests that do not need durability."""
    with PostgresServer(folder, settings=FORGETFUL) as server:
        yield server
