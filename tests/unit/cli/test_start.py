"""Commands start in a blink: they import what they need, and the list of commands needs none of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from smsapp.cli.lazy import LazyGroup
from smsapp.cli.main import main

HEAVY = {
    "aiohttp",
    "alembic",
    "apiflask",
    "asyncio",
    "celery",
    "flask",
    "gevent",
    "gunicorn",
    "kombu",
    "phonenumbers",
    "psycopg",
    "pydantic",
    "redis",
    "requests",
    "rich",
    "sqlalchemy",
    "structlog",
    "twilio",
    "werkzeug",
}
NOWHERE = ("--url", "http://127.0.0.1:9", "--key", "sms_test_none")
"""The discard port, on which nothing listens."""

LOOK = """
import json, runpy, sys
try:
    runpy.run_module(sys.argv.pop(1), run_name="__main__", alter_sys=True)
except SystemExit:
    pass
print()
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def imported_by(folder: Path, *words: str) -> set[str]:
    """Return the packages that `python -m …` has imported when it ends."""
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", LOOK, *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


@pytest.mark.parametrize(
    "words",
    [
        ("smsapp", "--help"),
        ("smsapp", "--version"),
        ("smsapp", "nonsense"),
        ("smsapp", "send", "--help"),
        ("smsapp", "send", "+14155552671", "hello", *NOWHERE),
        ("smsapp", "watch", "msg_1", *NOWHERE),
        ("smsapp", "jobs", "status", "job_1", *NOWHERE),
        ("simulator", "inbound", "STOP", "--simulator", "http://127.0.0.1:9"),
    ],
    ids=" ".join,
)
def test_commands_that_only_speak_http_import_nothing_heavy(tmp_path: Path, words: tuple[str, ...]) -> None:
    imported = imported_by(tmp_path, *words)

    assert words[0] in imported
    assert imported & HEAVY == set()


def test_the_list_of_commands_is_what_they_say_themselves() -> None:
    assert isinstance(main, LazyGroup)

    listed = {name: click.Command(name, help=place.help) for name, place in main.places.items()}

    for name in main.places:
        command = main.commands[name]
        assert command.name == name
        assert listed[name].get_short_help_str(500) == command.get_short_help_str(500)
