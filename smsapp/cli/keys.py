"""`python -m smsapp keys …`: the callers' API keys."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import click

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.cli.applications import application_id
from smsapp.cli.settings import settings_or_exit
from smsapp.config import parse_span
from smsapp.db.engine import make_sessions
from smsapp.db.sessions import reading
from smsapp.keys import application_queries as stored
from smsapp.keys import queries as api_keys
from smsapp.keys.scopes import ALL, Scope, parsed
from smsapp.recipients.quiet_hours import InvalidQuietHours, QuietHours
from smsapp.times import optional_rfc3339


def _check_quiet_hours(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    """Refuse malformed quiet hours; `off` means none."""
    if text is None or text == "off":
        return None
    try:
        QuietHours.parse(text)
    except InvalidQuietHours:
        raise click.BadParameter("give two different times of day, such as 21:00-08:00") from None
    return text


def _span(_context: click.Context, _parameter: click.Parameter, text: str | None) -> timedelta | None:
    """Refuse a malformed span."""
    if text is None:
        return None
    try:
        found = parse_span(text)
        assert isinstance(found, timedelta)
        datetime.now(UTC) + found  # not after the year 9999
    except (ValueError, OverflowError):
        raise click.BadParameter("give a number with its unit, such as 90d, 24h or 30m") from None
    return found


def _lifetime(context: click.Context, parameter: click.Parameter, text: str | None) -> timedelta | None:
    """Refuse a key that would never work: no span means for ever, and nobody must get that for nothing."""
    found = _span(context, parameter, text)
    if found == timedelta(0):
        raise click.BadParameter("must be more than nothing")
    return found


@click.group()
def keys() -> None:
    """Manage API keys."""


@keys.command("create")
@click.argument("name")
@click.option("--mode", type=click.Choice(["live", "test"]), default="live", show_default=True)
@click.option(
    "--application",
    default=stored.DEFAULT_NAME,
    show_default=True,
    help="The application that the key is of; it sees what that one's keys made.",
)
@click.option(
    "--quiet-hours", callback=_check_quiet_hours, help="Quiet hours of its messages, such as 21:00-08:00."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(sorted(each.value for each in ALL)),
    help="What the key may do; may be given several times.  [default: everything]",
)
@click.option(
    "--expires", callback=_lifetime, help="For how long it works, such as 90d.  [default: for ever]"
)
def keys_create(
    name: str,
    *,
    mode: api_keys.Mode,
    application: str,
    quiet_hours: str | None,
    scopes: Sequence[str],
    expires: timedelta | None,
) -> None:
    """Create an API key; its last line of output is the key, which is never shown again."""
    now = datetime.now(UTC)
    with make_sessions(settings_or_exit().database_url, pool_size=1).begin() as session:
        secret = api_keys.issue(
            session,
            name,
            mode=mode,
            quiet_hours=quiet_hours,
            application_id=application_id(session, application),
            scopes=[Scope(each) for each in scopes] or ALL,
            expires_at=now + expires if expires else None,
            now=now,
        )
        details = {
            "mode": mode,
            "application": application,
            "scopes": sorted(scopes) or sorted(ALL),
            "expires_at": optional_rfc3339(now + expires if expires else None),
        }
        audit.record(session, Act.KEY_CREATED, api_keys.prefix_of(secret), now=now, details=details)
    click.echo(
        f"API key {name!r} ({mode}) of {application}; keep it now, only its digest is stored:", err=True
    )
    click.echo(secret)


@keys.command("list")
def keys_list() -> None:
    """List API keys."""
    with reading(make_sessions(settings_or_exit().database_url, pool_size=1)) as session:
        names = stored.names(session)
        now = datetime.now(UTC)
        for key in api_keys.all_of(session):
            ended = key.expires_at is not None and key.expires_at <= now
            state = "revoked" if key.revoked_at else "expired" if ended else "active"
            used = f"{key.last_used_at:%Y-%m-%d %H:%MZ}" if key.last_used_at else "never used"
            quiet = f"  (quiet {key.quiet_hours})" if key.quiet_hours else ""
            until = f"  (until {key.expires_at:%Y-%m-%d %H:%MZ})" if key.expires_at else ""
            may = "" if parsed(key.scopes) == ALL else f"  (may {key.scopes})"
            click.echo(
                f"{key.prefix}…  {key.mode}  {state:8}  {used:17}  {names[key.application_id]}  {key.name}"
                f"{may}{until}{quiet}"
            )


@keys.command("quiet")
@click.argument("prefix")
@click.argument("hours", callback=_check_quiet_hours)
def keys_quiet(prefix: str, hours: str | None) -> None:
    """Set quiet hours for the key with this prefix (such as 21:00-08:00, in the recipient's time), or `off`."""
    with make_sessions(settings_or_exit().database_url, pool_size=1).begin() as session:
        changed = api_keys.set_quiet_hours(session, prefix.rstrip("…"), hours)
        if changed:
            details = {"quiet_hours": hours or "off"}
            audit.record(session, Act.KEY_CHANGED, prefix.rstrip("…"), now=datetime.now(UTC), details=details)
    if not changed:
        raise click.ClickException("no active key has this prefix")
    click.echo(
        f"Its messages wait during {hours} from now on." if hours else "Its messages wait for no hour."
    )


@keys.command("rotate")
@click.argument("prefix")
@click.option("--overlap", default="24h", show_default=True, callback=_span, help="While both keys work.")
def keys_rotate(prefix: str, overlap: timedelta) -> None:
    """Create a key with the rights of the one with this prefix, which ends after the overlap; prints the new key."""
    former, now = prefix.rstrip("…"), datetime.now(UTC)
    with make_sessions(settings_or_exit().database_url, pool_size=1).begin() as session:
        secret = api_keys.rotate(session, former, overlap=overlap, now=now)
        if secret:
            details = {"successor": api_keys.prefix_of(secret), "overlap_s": int(overlap.total_seconds())}
            audit.record(session, Act.KEY_ROTATED, former, now=now, details=details)
    if secret is None:
        raise click.ClickException("no active key has this prefix, or several have")
    click.echo("The new key; keep it now, only its digest is stored. The former one expires:", err=True)
    click.echo(secret)


@keys.command("revoke")
@click.argument("prefix")
def keys_revoke(prefix: str) -> None:
    """Revoke the key with this prefix; it stops working within seconds."""
    with make_sessions(settings_or_exit().database_url, pool_size=1).begin() as session:
        revoked = api_keys.revoke(session, prefix.rstrip("…"), now=datetime.now(UTC))
        if revoked:
            audit.record(session, Act.KEY_REVOKED, prefix.rstrip("…"), now=datetime.now(UTC))
    if not revoked:
        raise click.ClickException("no active key has this prefix")
    click.echo("Revoked.")
