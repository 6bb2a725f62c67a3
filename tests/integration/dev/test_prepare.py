"""The demo's database: prepared by one process, and recognized as prepared without one."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from alembic.script import ScriptDirectory

from dev import show
from smsapp.cli.database import alembic_config
from tests.support.environment import make_settings

UNPREPARED = {"DATABASE_URL": "nonsense"}


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """The environment of a demo whose database is in a folder of its own."""
    ports = {"web": 8000, "flower": 5555, "simulator": 8900}
    credentials = {
        "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
        "TWILIO_AUTH_TOKEN": "0" * 32,
        "TWILIO_PHONE_NUMBER": "+15005550006",
    }
    settings = show.demo_settings(ports, credentials, "redis://127.0.0.1:9/0")
    return show.make_environment({**settings, "DATABASE_URL": f"sqlite:///{tmp_path / 'demo.db'}"})


def test_a_prepared_database_is_recognized(environment: dict[str, str], tmp_path: Path) -> None:
    file = tmp_path / "demo.db"
    before = show.is_up_to_date(file)

    upgraded, key = show.preparation(environment, "--key")

    assert (before, upgraded) == (False, "")
    assert key.startswith("sms_live_")
    assert show.is_up_to_date(file)


def test_a_database_of_an_older_version_is_not_up_to_date(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "old.db")) as old:
        old.executescript(
            "CREATE TABLE alembic_version (version_num); INSERT INTO alembic_version VALUES ('0001')"
        )

    assert not show.is_up_to_date(tmp_path / "old.db")


def test_the_latest_revision_is_the_one_that_alembic_finds() -> None:
    scripts = ScriptDirectory.from_config(alembic_config(make_settings()))

    assert show.latest_revision() == scripts.get_current_head()


def test_what_keeps_the_database_from_being_prepared_is_told(environment: dict[str, str]) -> None:
    with pytest.raises(show.DemoError, match="DATABASE_URL"):
        list(show.preparation(environment | UNPREPARED))
