"""Commands beside a demo: when they take on its environment, and when they leave it alone."""

import fcntl
from collections.abc import Iterator
from pathlib import Path

import pytest

from smsapp.cli.demo import FILE, join_demo

DEMO = {"APP_BASE_URL": "http://127.0.0.1:8001", "PORT": "8001", "SMSAPP_API_KEY": "sms_live_demo=="}


@pytest.fixture
def _demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A demo that runs in the current folder, as far as its file shows it."""
    monkeypatch.chdir(tmp_path)
    FILE.parent.mkdir()
    FILE.write_text("# header\n" + "".join(f"{name}={value}\n" for name, value in DEMO.items()))
    with FILE.open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@pytest.mark.usefixtures("_demo")
def test_a_command_that_is_told_of_no_service_takes_on_the_demos_environment() -> None:
    environ = {"PORT": "9000", "HOME": "/home/someone"}

    assert join_demo(environ)

    assert environ == {**DEMO, "HOME": "/home/someone"}


@pytest.mark.usefixtures("_demo")
@pytest.mark.parametrize("name", ["APP_BASE_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN"])
def test_a_variable_that_names_another_service_keeps_the_demo_away(name: str) -> None:
    environ = {name: "something"}

    assert not join_demo(environ)

    assert environ == {name: "something"}


@pytest.mark.usefixtures("_demo")
def test_a_file_that_names_another_service_keeps_the_demo_away() -> None:
    Path(".env").touch()
    environ: dict[str, str] = {}

    assert not join_demo(environ)

    assert environ == {}


@pytest.mark.usefixtures("_demo")
@pytest.mark.parametrize("given", [{"SMSAPP_API_KEY": "mine"}, {"SMSAPP_URL": "https://sms.example.com"}])
def test_the_demos_key_is_not_used_where_a_caller_is_named(given: dict[str, str]) -> None:
    environ = dict(given)

    join_demo(environ)

    assert environ.get("SMSAPP_API_KEY") == given.get("SMSAPP_API_KEY")


def test_the_file_of_a_demo_that_is_gone_counts_for_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    environ: dict[str, str] = {}

    assert not join_demo(environ)
    FILE.parent.mkdir()
    FILE.write_text("APP_BASE_URL=http://127.0.0.1:8001\n")
    assert not join_demo(environ)

    assert environ == {}
