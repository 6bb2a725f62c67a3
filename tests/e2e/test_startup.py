"""A process whose configuration makes no sense refuses to start, at once, and lists every fault together."""

import subprocess
import time

import pytest

from dev.ports import free_port
from tests.support.environment import AUTH_TOKEN
from tests.support.on_database import on_sqlite
from tests.support.stack import Stack

FAULTS = {
    "TWILIO_ACCOUNT_SID": "not-an-account",
    "APP_BASE_URL": "sms.example.com",
    "DATABASE_URL": "mysql://localhost/sms",
    "REDIS_URL": "http://localhost",
    "SEND_LEASE": "soon",
    "SEND_CONCURRENCY": "0",
}
SECRET = "a-secret-that-nobody-may-read"
QUICKLY_S = 40.0
WEAK = "postgresql://smsapp:smsapp@127.0.0.1:5432/smsapp"

pytestmark = on_sqlite  # the database does not matter


def check_refusal(done: subprocess.CompletedProcess[str], took_s: float) -> None:
    """Check that a process ended with an error, soon, and named every fault but no secret."""
    said = done.stdout + done.stderr
    assert done.returncode not in {0, -9, -15}
    assert took_s < QUICKLY_S
    assert [name for name in FAULTS if name not in said] == []
    assert SECRET not in said


@pytest.mark.parametrize("name", ["web", "worker-1", "beat", "flower"])
def test_a_misconfigured_process_lists_every_fault_and_ends(stack: Stack, name: str) -> None:
    began = time.monotonic()

    done = stack.run(name, PORT=str(free_port()), TWILIO_AUTH_TOKEN=SECRET, **FAULTS)

    check_refusal(done, time.monotonic() - began)


def test_a_misconfigured_command_lists_every_fault_and_ends(stack: Stack) -> None:
    began = time.monotonic()

    done = stack.cli("db", "upgrade", check=False, TWILIO_AUTH_TOKEN=SECRET, **FAULTS)

    check_refusal(done, time.monotonic() - began)


@pytest.mark.parametrize("name", ["web", "worker-1", "beat", "flower"])
def test_in_production_a_process_lists_everything_that_is_unsafe_and_ends(stack: Stack, name: str) -> None:
    done = stack.run(name, PORT=str(free_port()), ENV="production", LOG_LEVEL="debug", DATABASE_URL=WEAK)

    said = done.stdout + done.stderr
    unsafe = {"TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN", "DATABASE_URL", "REDIS_URL", "APP_BASE_URL",
              "TWILIO_API_BASE_URL", "LOG_LEVEL"}  # fmt: skip
    assert done.returncode not in {0, -9, -15}
    assert {variable for variable in unsafe if f"  {variable}: " not in said} == set()
    assert AUTH_TOKEN not in said


def test_a_misconfigured_simulator_names_its_fault_and_ends(stack: Stack) -> None:
    done = stack.run("simulator", SIMULATOR_LOSS="2")

    assert done.returncode not in {0, -9, -15}
    assert "loss" in done.stderr
