"""`python -m smsapp suppressions …`: who must not be texted."""

import csv
import sys
from typing import BinaryIO
from uuid import UUID

import click

from smsapp.cli.runtime import command_runtime
from smsapp.db.sessions import reading
from smsapp.ids import parse_id, suppression_id
from smsapp.recipients.phone import InvalidPhoneNumber, InvalidSender, parse_recipient
from smsapp.suppressions import queries as store
from smsapp.suppressions.decide import SuppressionNotFoundError, add_suppression, lift_suppression
from smsapp.suppressions.export import COLUMNS, export_suppressions
from smsapp.suppressions.import_rows import import_suppressions
from smsapp.suppressions.rows import EXPORTED, RECIPIENT, parse_scope
from smsapp.suppressions.rules import EVERY_SENDER
from smsapp.uploads.csv_rows import CsvRows
from smsapp.uploads.rows import UnreadableUpload

_note = click.option("--note", help="The reason, which is recorded.")


@click.group()
def suppressions() -> None:
    """List, add, lift, import and export suppressions."""


@suppressions.command("list")
@click.option("--recipient", help="Only suppressions of this recipient.")
@click.option("--limit", default=50, show_default=True)
def suppressions_list(recipient: str | None, limit: int) -> None:
    """List the suppressions in force."""
    with reading(command_runtime().sessions) as session:
        found = store.find(session, recipient=recipient and _recipient(recipient), limit=limit)
        for row in found:
            scope = "every sender" if row.scope == EVERY_SENDER else row.scope
            click.echo(
                f"{suppression_id(row.id)}  {row.recipient}  {scope}  since {row.since:%Y-%m-%dT%H:%M:%SZ}  "
                f"{row.source}  {row.note or ''}"
            )
        if not found.items:
            click.echo("There are none.")


@suppressions.command("add")
@click.argument("recipient")
@click.option("--sender", help="A sender or a Messaging Service's SID.  [default: every sender]")
@_note
def suppressions_add(recipient: str, sender: str | None, note: str | None) -> None:
    """Stop texting a recipient."""
    try:
        scope = parse_scope(sender or "")
    except InvalidSender:
        raise click.BadParameter(f"{sender} is no sender and no Messaging Service's SID") from None
    found, is_new = add_suppression(command_runtime(), _recipient(recipient), scope, note=note)
    click.echo(f"{suppression_id(found.id)}: {'suppressed' if is_new else 'was suppressed already'}")


@suppressions.command("lift")
@click.argument("name")
@_note
def suppressions_lift(name: str, note: str | None) -> None:
    """Allow a recipient to be texted again; only a START from them lifts Twilio's own block."""
    wanted = parse_id(name, "sup")
    try:
        lift_suppression(command_runtime(), wanted or UUID(int=0), note=note)
    except SuppressionNotFoundError:
        raise click.ClickException("there is no such suppression") from None
    click.echo("Lifted.")


@suppressions.command("import")
@click.argument("file", type=click.File("rb"))
def suppressions_import(file: BinaryIO) -> None:
    """Suppress every `recipient` in a CSV file; exits 1 if rows are faulty, and lists the first 100."""
    try:
        result = import_suppressions(command_runtime(), CsvRows(file, required=RECIPIENT, exported=EXPORTED))
    except UnreadableUpload as error:
        raise click.ClickException(error.detail) from None
    for fault in result.faults:
        click.echo(f"line {fault.line}: {fault.column or 'row'}: {fault.sentence}", err=True)
    click.echo(f"{result.added} added, {result.known} known already, {result.faulty} faulty")
    if result.faulty:
        sys.exit(1)


@suppressions.command("export")
def suppressions_export() -> None:
    """Write the suppressions in force as CSV to standard output."""
    writer = csv.writer(sys.stdout)
    writer.writerow(COLUMNS)
    for page in export_suppressions(command_runtime()):
        writer.writerows(page)


def _recipient(text: str) -> str:
    try:
        return parse_recipient(text).e164
    except InvalidPhoneNumber:
        raise click.BadParameter(f"{text} is not a phone number such as +14155552671") from None
