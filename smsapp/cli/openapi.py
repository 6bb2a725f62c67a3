"""`python -m smsapp openapi`: the API document as a file, so that reviewers see how a change affects callers."""

import sys
from pathlib import Path

import click
import orjson
from pydantic import SecretStr

from smsapp.config import Settings

FILE = Path("openapi.json")
"""In the current folder: developers run this command in the project's root."""


@click.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 when the file is not up to date.")
def openapi(check: bool) -> None:
    """Write openapi.json exactly as the service serves it; needs no configuration and no database."""
    document = render()
    if not check:
        FILE.write_bytes(document)
        click.echo(f"Wrote {FILE.name}.")
    elif not FILE.exists() or FILE.read_bytes() != document:
        click.echo(f"{FILE.name} is not up to date: run `make openapi` and look at the difference.", err=True)
        sys.exit(1)


def render() -> bytes:
    """Return the document in its committed form."""
    from smsapp.app import create_app  # noqa: PLC0415 - Flask costs the other commands half a second

    app = create_app(_settings_for_nothing())
    return orjson.dumps(app.spec, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


def _settings_for_nothing() -> Settings:
    """Return placeholder settings that ignore the environment: the document depends on none of them."""
    return Settings.model_construct(
        app_base_url="https://sms.example.com",
        twilio_account_sid="AC" + "0" * 32,
        twilio_auth_token=(SecretStr("none"),),
    )
