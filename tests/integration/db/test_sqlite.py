"""How our connections to SQLite wait: for other programs' locks, and for the disk."""

import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from smsapp.db.sqlite import PatientConnection


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A database with an empty table."""
    path = tmp_path / "some.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("CREATE TABLE numbers (n)")
    return path


@pytest.fixture
def connection(file: Path) -> Iterator[PatientConnection]:
    """A connection of ours."""
    with closing(
        sqlite3.connect(
            file, timeout=0, isolation_level=None, check_same_thread=False, factory=PatientConnection
        )
    ) as connection:
        yield connection


@pytest.fixture
def other(file: Path) -> Iterator[sqlite3.Connection]:
    """Another program's connection, which holds the write lock."""
    with closing(sqlite3.connect(file, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield other


def test_a_statement_is_run_once_the_lock_is_released(
    connection: PatientConnection, other: sqlite3.Connection
) -> None:
    release = threading.Timer(0.2, other.execute, ["COMMIT"])
    release.start()

    connection.cursor().execute("BEGIN IMMEDIATE")
    connection.cursor().execute("INSERT INTO numbers VALUES (?)", (1,))
    connection.commit()

    release.join()
    assert other.execute("SELECT n FROM numbers").fetchall() == [(1,)]


@pytest.mark.parametrize("patience_s", [0.0, 0.3])
def test_it_waits_no_longer_than_it_is_patient(
    connection: PatientConnection, other: sqlite3.Connection, patience_s: float
) -> None:
    connection.patience_s = patience_s
    began = time.monotonic()

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.cursor().execute("BEGIN IMMEDIATE")

    assert patience_s <= time.monotonic() - began < patience_s + 0.3
    assert not connection.in_transaction


def test_an_error_that_waiting_does_not_mend_is_raised_at_once(connection: PatientConnection) -> None:
    began = time.monotonic()

    with pytest.raises(sqlite3.OperationalError, match="no such table"):
        connection.cursor().execute("SELECT * FROM letters")

    assert time.monotonic() - began < 0.3


def test_a_transaction_that_has_read_what_changed_meanwhile_does_not_wait_in_vain(
    connection: PatientConnection, file: Path
) -> None:
    connection.cursor().execute("BEGIN")
    connection.cursor().execute("SELECT * FROM numbers").fetchall()
    with closing(sqlite3.connect(file)) as other, other:
        other.execute("INSERT INTO numbers VALUES (1)")
    began = time.monotonic()

    with pytest.raises(sqlite3.OperationalError, match="locked"):
        connection.cursor().execute("INSERT INTO numbers VALUES (2)")

    assert time.monotonic() - began < 0.3


UNDER_GEVENT = """
from gevent import monkey
monkey.patch_all()
import sqlite3, sys, threading, time
from smsapp.db.sqlite import PatientConnection

here = monkey.get_original("_thread", "get_ident")
ours = sqlite3.connect(
    sys.argv[1], timeout=0, isolation_level=None, check_same_thread=False, factory=PatientConnection
)
other = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)
seen = []
ours.set_trace_callback(lambda statement: seen.append((statement, here() == loop)))
loop = here()

other.execute("BEGIN IMMEDIATE")
ticks = []
def tick():
    while not ticks or len(ticks) < 20:
        ticks.append(time.monotonic())
        time.sleep(0.005)
    other.execute("COMMIT")
threading.Thread(target=tick).start()
ours.cursor().execute("BEGIN IMMEDIATE")
ours.cursor().execute("INSERT INTO numbers VALUES (1)")
ours.commit()
print(len(ticks), dict(seen))
"""


def test_under_gevent_other_greenlets_run_while_it_waits_for_a_lock_or_the_disk(file: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", UNDER_GEVENT, file], capture_output=True, text=True, check=True, timeout=60
    )

    on_loop = {"BEGIN IMMEDIATE": True, "INSERT INTO numbers VALUES (1)": True, "COMMIT": False}
    assert done.stdout.strip() == f"20 {on_loop}"
