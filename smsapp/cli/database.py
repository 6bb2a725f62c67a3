"""`python -m smsapp db …`: the tables, by Alembic."""

from pathlib import Path

import click
from alembic import command
from alembic.config import Config

from smsapp.cli.settings import settings_or_exit
from smsapp.config import Settings


@click.group()
def db() -> None:
    """Prepare the database."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Create or update the tables; safe to repeat."""
    command.upgrade(alembic_config(settings_or_exit()), "head")
    click.echo("The database is up to date.")


def alembic_config(settings: Settings) -> Config:
    """Return the migrations' configuration for this database."""
    config = Config()
    config.set_main_option("script_location", str(_migrations()).replace("%", "%%"))
    config.attributes["database_url"] = settings.database_url
    return config


def _migrations() -> Path:
    """Return the folder of the migrations: in the package if it is installed (see setup.py), else beside it."""
    package = Path(__file__).parents[1]
    installed = package / "migrations"
    return installed if installed.is_dir() else package.parent / "migrations"
