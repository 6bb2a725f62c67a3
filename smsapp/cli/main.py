"""The command line: `python -m smsapp …`. A command's module is imported when the command is run."""

import getpass
import os
from socket import gethostname

import click

from smsapp import __version__
from smsapp.audit.acting import Actor, act_as
from smsapp.cli.demo import FILE as DEMO
from smsapp.cli.demo import join_demo
from smsapp.cli.lazy import LazyGroup, Place

_COMMANDS = {
    "applications": Place("applications", "Manage applications, each of which sees only what its keys made."),
    "audit": Place(
        "operate", "List who did what, and check that nothing of it was changed, removed or inserted."
    ),
    "breaker": Place("operate", "List parked scopes of sending, and release them."),
    "db": Place("database", "Prepare the database."),
    "dead": Place("operate", "List and show dead letters, process them again, or close them."),
    "doctor": Place(
        "doctor",
        "Check configuration, database, Redis, Twilio and the public address; exits 1 when a check fails.",
    ),
    "erase": Place(
        "operate",
        "Erase everything about a number: messages, inbound texts, callbacks. What must not be texted stays known.",
    ),
    "held": Place("operate", "Count and release messages that caps and parked countries hold back."),
    "jobs": Place("jobs", "Send many texts from one file, and follow their progress."),
    "keys": Place("keys", "Manage API keys."),
    "ledger": Place(
        "operate",
        "Count messages by outcome; exits 1 and lists the ids when messages are not accounted for.",
    ),
    "openapi": Place(
        "openapi",
        "Write openapi.json exactly as the service serves it; needs no configuration and no database.",
    ),
    "person": Place("operate", "Show what is stored about one person."),
    "refold": Place(
        "operate", "Recompute every status from its events and report differences; changes nothing."
    ),
    "send": Place("messages", "Send a text and follow it to its outcome; exits 1 unless it is delivered."),
    "suppressions": Place("suppressions", "List, add, lift, import and export suppressions."),
    "unconfirmed": Place("operate", "Decide on messages that Twilio may or may not have accepted."),
    "watch": Place(
        "messages", "Follow a message until its outcome is known; exits 1 unless it is delivered."
    ),
}


@click.group(cls=LazyGroup, places=_COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=None, version=__version__, prog_name="smsapp")
def main() -> None:
    """Send SMS through Twilio and find out what became of each one."""
    act_as(Actor(f"cli:{_user()}@{gethostname()}", address=_address()))
    if join_demo():
        click.echo(f"(of the demo that runs in this folder: {DEMO})", err=True)


def _user() -> str:
    """Return who runs the command: behind sudo, the person; a container's user may have no name."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    person = os.environ.get("SUDO_USER")
    return f"{person}({user})" if person and person != user else user


def _address() -> str | None:
    """Return the address of the terminal behind ssh, None for one of this machine."""
    return os.environ.get("SSH_CONNECTION", "").partition(" ")[0] or None
