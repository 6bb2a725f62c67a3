"""Commands for operators: ledger, dead letters, breakers, held and unconfirmed messages, personal data, audit log."""

import re
import sys
from collections.abc import Collection
from uuid import UUID

import click
import orjson

from smsapp.audit import queries as entries
from smsapp.audit.rules import Act, Head, faults
from smsapp.breakers import queries as breakers
from smsapp.callbacks import dead_letters
from smsapp.callbacks.replay import replay_dead_letters
from smsapp.cli.runtime import command_runtime
from smsapp.db.sessions import reading
from smsapp.ids import parse_public_id, public_id
from smsapp.messages import reads
from smsapp.pacing import tallies
from smsapp.pacing.wake_senders import wake_senders
from smsapp.recipients.phone import InvalidPhoneNumber
from smsapp.reconciliation import check_ledger as ledger_checks
from smsapp.reconciliation.settle import Decision, decide_unconfirmed
from smsapp.retention.erase import erase_person
from smsapp.retention.export import export_person
from smsapp.retention.person_queries import Phone
from smsapp.submission.guard import open_country, release_held
from smsapp.times import rfc3339
from smsapp.twilio.error_codes import OwnCode

_MAX_TOLD = 20
_limit = click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)


@click.command()
def ledger() -> None:
    """Count messages by outcome; exits 1 and lists the ids when messages are not accounted for."""
    found = ledger_checks.check_ledger(command_runtime())
    click.echo(f"accepted      {found.accepted}")
    for outcome, count in sorted(found.by_outcome.items()):
        click.echo(f"  {outcome:12}{count}")
    if not found.balanced:
        click.echo("not accounted for: " + (", ".join(found.stuck) or "the sums differ"), err=True)
        sys.exit(1)
    click.echo("The ledger balances.")


@click.command()
@click.option("--check", is_flag=True, help="Exit 1 on any difference.")
def refold(check: bool) -> None:
    """Recompute every status from its events and report differences; changes nothing."""
    checked, differences = ledger_checks.check_histories(command_runtime())
    for difference in differences:
        click.echo(
            f"{difference.id} {difference.field}: stored {difference.stored}, refolded {difference.refolded}"
        )
    click.echo(f"{checked} messages recomputed, {len(differences)} differences")
    if check and differences:
        sys.exit(1)


@click.group()
def dead() -> None:
    """List and show dead letters, process them again, or close them."""


@dead.command("list")
@_limit
def dead_list(limit: int) -> None:
    """List dead letters, oldest first."""
    with reading(command_runtime().sessions) as session:
        letters = dead_letters.waiting(session, limit=limit)
        for letter in letters:
            click.echo(f"{letter.id}  {letter.created_at:%Y-%m-%dT%H:%M:%SZ}  {letter.kind}  {letter.cause}")
        if not letters:
            click.echo("There are none.")


@dead.command("show")
@click.argument("letter_id", type=UUID)
def dead_show(letter_id: UUID) -> None:
    """Show a dead letter with what it holds: a callback as received, with numbers and perhaps a text."""
    rt = command_runtime()
    with rt.transaction() as tx:
        letter = dead_letters.get(tx.session, letter_id)
        if letter is None:
            raise click.ClickException(f"{letter_id}: there is no such dead letter")
        entries.record(tx.session, Act.DEAD_LETTER_SHOWN, str(letter_id), now=rt.clock())
    click.echo(f"kind     {letter.kind}")
    click.echo(f"created  {rfc3339(letter.created_at)}")
    click.echo(f"cause    {letter.cause}")
    click.echo(f"state    {f'closed {rfc3339(letter.replayed_at)}' if letter.replayed_at else 'waits'}")
    for name, value in letter.payload.items():
        click.echo(f"{name:17}{value}")


@dead.command("close")
@click.argument("letter_ids", nargs=-1, required=True, type=UUID)
def dead_close(letter_ids: tuple[UUID, ...]) -> None:
    """Close dead letters that can never be processed; they stay as evidence. Exits 1 when one does not wait."""
    rt = command_runtime()
    with rt.transaction() as tx:
        waiting = dead_letters.among(tx.session, letter_ids)
        for letter_id in waiting:
            dead_letters.mark_replayed(tx.session, letter_id, now=rt.clock())
        for letter_id in sorted(waiting):
            entries.record(tx.session, Act.DEAD_LETTER_CLOSED, str(letter_id), now=rt.clock())
    _tell_missing(letter_ids, waiting)
    click.echo(f"{len(waiting)} closed")
    if len(waiting) < len(set(letter_ids)):
        sys.exit(1)


def _tell_missing(letter_ids: Collection[UUID], waiting: Collection[UUID]) -> None:
    for letter_id in letter_ids:
        if letter_id not in waiting:
            click.echo(f"{letter_id}: no dead letter with this id waits", err=True)


@dead.command("replay")
@click.argument("letter_ids", nargs=-1, type=UUID)
@click.option("--all", "everything", is_flag=True, help="Replay all that are waiting.")
def dead_replay(letter_ids: tuple[UUID, ...], everything: bool) -> None:
    """Process dead letters again; exits 1 when one fails again, or is not waiting."""
    if bool(letter_ids) == everything:
        raise click.UsageError("name letters, or give --all")
    rt = command_runtime()
    with reading(rt.sessions) as session:
        waiting = dead_letters.among(session, letter_ids)
    replayed, failed = replay_dead_letters(rt, letter_ids)
    click.echo(f"{replayed} replayed, {failed} still cannot be processed")
    _tell_missing(letter_ids, waiting)
    if failed or len(waiting) < len(set(letter_ids)):
        sys.exit(1)


@click.group()
def breaker() -> None:
    """List parked scopes of sending, and release them."""


@breaker.command("list")
def breaker_list() -> None:
    """List the scopes that are parked."""
    with reading(command_runtime().sessions) as session:
        closed = breakers.all_of(session)
        for item in closed:
            state = "parked" if item.parked else "slowed"
            click.echo(
                f"{item.scope}  {state} until {item.probe_at:%H:%M:%SZ}  {item.error_code}  {item.reason}"
            )
        if not closed:
            click.echo("Sending is open everywhere.")


@breaker.command("release")
@click.argument("scope")
def breaker_release(scope: str) -> None:
    """Release a scope (`account`, a sender, or `country:GB`) at once."""
    rt = command_runtime()
    country = breakers.country_of(scope)
    if country:
        released = open_country(rt, country)
    else:
        with rt.transaction() as tx:
            released = breakers.release(tx.session, scope)
            if released:
                entries.record(tx.session, Act.BREAKER_RELEASED, scope, now=rt.clock())
    if not released:
        with reading(rt.sessions) as session:
            closed = ", ".join(item.scope for item in breakers.all_of(session))
        raise click.ClickException(f"nothing is closed by that name; closed: {closed or 'nothing'}")
    wake_senders(rt)
    click.echo("Released.")


@click.group()
def held() -> None:
    """Count and release messages that caps and parked countries hold back."""


@held.command("list")
def held_list() -> None:
    """Count held messages by reason and country."""
    with reading(command_runtime().sessions) as session:
        waiting = tallies.held(session)
    for item in waiting:
        reason = OwnCode(item.code).name.lower()
        click.echo(f"{item.country or '-'}  {reason}  {item.count}  until {item.until:%Y-%m-%dT%H:%M:%SZ}")
    if not waiting:
        click.echo("Nothing is held.")


@held.command("release")
@click.option("--country", help="Only messages to this one, as `held list` names it.")
def held_release(country: str | None) -> None:
    """Send held messages at once, and raise today's caps by as many. For a parked country, use `breaker release`."""
    rt = command_runtime()
    country = country and country.upper()
    with reading(rt.sessions) as session:
        parked = breakers.parked_countries(session)
        concerned = {held.country for held in tallies.held(session) if country in {None, held.country}}
    if country and country not in concerned:
        raise click.ClickException(f"nothing is held for {country}")
    click.echo(f"{release_held(rt, country)} released")
    still_parked = sorted(each for each in concerned if each in parked)
    for each in still_parked:
        click.echo(f"{each} is parked; `breaker release country:{each}` opens it", err=True)
    if still_parked:
        sys.exit(1)


@click.group()
def unconfirmed() -> None:
    """Decide on messages that Twilio may or may not have accepted."""


@unconfirmed.command("list")
@_limit
def unconfirmed_list(limit: int) -> None:
    """List unconfirmed messages that wait for a decision."""
    with reading(command_runtime().sessions) as session:
        held = reads.find(session, status="unconfirmed", limit=limit)
        for message in held:
            click.echo(
                f"{public_id(message.id)}  since {message.updated_at:%Y-%m-%dT%H:%M:%SZ}  "
                f"{message.client_reference or ''}"
            )
        if not held.items:
            click.echo("There are none.")


def _message_ids(
    _context: click.Context, _parameter: click.Parameter, texts: tuple[str, ...]
) -> tuple[UUID, ...]:
    """Refuse malformed ids before any decision is carried out."""
    ids = [(text, parse_public_id(text)) for text in texts]
    for text, message_id in ids:
        if message_id is None:
            raise click.BadParameter(f"'{text}' is no message id such as {public_id(UUID(int=0))}")
    return tuple(message_id for _, message_id in ids if message_id)


@unconfirmed.command("decide")
@click.argument("decision", type=click.Choice([str(decision) for decision in Decision]))
@click.argument("message_ids", nargs=-1, required=True, callback=_message_ids)
def unconfirmed_decide(decision: str, message_ids: tuple[UUID, ...]) -> None:
    """Send unconfirmed messages again (`resend`) or give them up (`fail`); exits 1 when one is not unconfirmed."""
    rt = command_runtime()
    decided = [decide_unconfirmed(rt, message_id, Decision(decision)) for message_id in message_ids]
    for message_id, done in zip(message_ids, decided, strict=True):
        sentence = "done" if done else "is not unconfirmed"
        click.echo(f"{public_id(message_id)}: {sentence}", err=not done)
    if not all(decided):
        sys.exit(1)


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
    rt = command_runtime()
    document = export_person(rt, number)
    with rt.transaction() as tx:  # before anybody sees it
        entries.record(tx.session, Act.PERSON_EXPORTED, now=rt.clock())
    click.echo(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())


def _head(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Head | None:
    if text is None:
        return None
    match = re.fullmatch(r"(\d{1,18}):([0-9a-f]{64})", text)
    if match is None:
        raise click.BadParameter(
            "give what `audit head` printed: a number, a colon and 64 hexadecimal digits"
        )
    return Head(int(match[1]), match[2])


@click.group()
def audit() -> None:
    """List who did what, and check that nothing of it was changed, removed or inserted."""


@audit.command("list")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--act", type=click.Choice([act.value for act in Act]), help="Only this act.")
@click.option("--subject", help="Only acts on this id.")
def audit_list(limit: int, act: str | None, subject: str | None) -> None:
    """List the last acts, newest first."""
    with reading(command_runtime().sessions) as session:
        found = entries.latest(session, limit=limit, act=act, subject=subject)
    for link in found:
        entry = link.entry
        details = " ".join(f"{name}={value}" for name, value in (entry.details or {}).items())
        parts = [
            str(entry.seq),
            rfc3339(entry.at),
            entry.who,
            entry.act,
            entry.subject or "-",
            entry.address or "-",
            entry.request_id or "-",
            details,
        ]
        click.echo("  ".join(parts).rstrip())
    if not found:
        click.echo("There are none.")


@audit.command("verify")
@click.option(
    "--head", "known", callback=_head, help="What `audit head` printed before; proves all up to there."
)
def audit_verify(known: Head | None) -> None:
    """Check every entry; exits 1 and says where when one was changed, removed or inserted."""
    with command_runtime().sessions() as session:
        entries.look_at_one_moment(session)
        head = entries.head(session)
        found = list(faults(entries.links(session), head, known=known))
    for fault in found[:_MAX_TOLD]:
        click.echo(fault, err=True)
    if found:
        click.echo(f"{len(found)} faults", err=True)
        sys.exit(1)
    click.echo(f"{head.seq} entries, all as they were written.")


@audit.command("head")
def audit_head() -> None:
    """Print how far the log reaches, to be kept elsewhere: `audit verify --head` proves all entries up to it."""
    with reading(command_runtime().sessions) as session:
        click.echo(str(entries.head(session)))
