"""Commands for what is stored about one person: `python -m smsapp erase …` and `person export …`."""

import click
import orjson

from smsapp.cli.runtime import command_runtime
from smsapp.recipients.phone import InvalidPhoneNumber
from smsapp.retention.erase import erase_person
from smsapp.retention.export import export_person
from smsapp.retention.person_queries import Phone


def _phone(_context: click.Context, _parameter: click.Parameter, text: str) -> Phone:
    try:
        return Phone(text)
    except InvalidPhoneNumber:
        raise click.BadParameter(f"{text} is not a phone number such as +14155552671") from None


@click.command()
@click.argument("number", callback=_phone)
@click.option("--yes", is_flag=True, help="Do not ask.")
def erase(number: Phone, yes: bool) -> None:
    """Erase everything about a number: messages, inbound texts, callbacks. What must not be texted stays known."""
    if not yes:
        click.confirm("This cannot be undone, and cancels what waits to be sent. Erase?", abort=True)
    report = erase_person(command_runtime(), number)
    click.echo(
        f"{report.messages} messages, {report.inbound} inbound texts, {report.rows} rows of jobs erased"
    )
    if report.callbacks:
        click.echo(f"{report.callbacks} waiting callbacks and dead letters removed")
    if report.later:
        click.echo(f"{report.later} messages have no outcome yet; the service erases them when they do")
    if report.suppressions:
        click.echo(
            f"{report.suppressions} suppressions stay, without notes: they keep the number from being texted"
        )


@click.group()
def person() -> None:
    """Show what is stored about one person."""


@person.command("export")
@click.argument("number", callback=_phone)
def person_export(number: Phone) -> None:
    """Write everything that is stored about a number as JSON to standard output."""
    document = export_person(command_runtime(), number)
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
