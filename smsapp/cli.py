"""The command line: `python -m smsapp …`."""

from datetime import UTC, datetime
from pathlib import Path

import click
from alembic import command
from alembic.config import Config

from smsapp.commands import client, doctor, openapi, operate
from smsapp.commands.runtime import settings_or_exit
from smsapp.settings import Settings
from smsapp.store import api_keys
from smsapp.store.engine import make_sessions
from smsapp.store.sessions import reading


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version="0.1.0", prog_name="smsapp")
def main() -> None:
    """Send SMS through Twilio and find out what became of each one."""


@main.group()
def db() -> None:
    """Prepare the database."""


@db.command("upgrade")
def db_upgrade() -> None:
    """Create or update the tables; safe to repeat."""
    command.upgrade(alembic_config(settings_or_exit()), "head")
    click.echo("The database is up to date.")


@main.group()
def keys() -> None:
    """Manage API keys."""


@keys.command("create")
@click.argument("name")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
def keys_create(name: str, mode: api_keys.Mode) -> None:
    """Create an API key; its last line of output is the key, which is never shown again."""
    with make_sessions(settings_or_exit().database_url, pool_size=1).begin() as session:
        secret = api_keys.issue(session, name, mode=mode, now=datetime.now(UTC))
    click.echo(f"API key {name!r} ({mode}); keep it now, only its digest is stored:", err=True)
    click.echo(secret)


@keys.command("list")
def keys_list() -> None:
    """List API keys."""
    with reading(make_sessions(settings_or_exit().database_url, pool_size=1)) as session:
        for key in api_keys.all_of(session):
            state = "revoked" if key.revoked_at else "active"
            used = f"{key.last_used_at:%Y-%m-%d %H:%MZ}" if key.last_used_at else "never used"
            click.echo(f"{key.prefix}…  {key.mode}  {state:8}  {used:17}  {key.name}")


@keys.command("revoke")
@click.argument("prefix")
def keys_revoke(prefix: str) -> None:
    """Revoke the key with this prefix; it stops working within seconds."""
    with make_sessions(settings_or_exit().database_url, pool_size=1).begin() as session:
        revoked = api_keys.revoke(session, prefix.rstrip("…"), now=datetime.now(UTC))
    if not revoked:
        raise click.ClickException("no active key has this prefix")
    click.echo("Revoked.")


for _command in (
    operate.ledger,
    operate.refold,
    operate.dead,
    operate.breaker,
    operate.unconfirmed,
    client.send,
    client.watch,
    doctor.doctor,
    openapi.openapi,
):
    main.add_command(_command)


def alembic_config(settings: Settings) -> Config:
    """Return the migrations' configuration for this database."""
    config = Config()
    config.set_main_option(
        "script_location", str(Path(__file__).parent.parent / "migrations").replace("%", "%%")
    )
    config.attributes["database_url"] = settings.database_url
    return config
