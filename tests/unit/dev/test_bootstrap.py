"""The stamp that decides whether a set-up has anything to do, and the environment it installs in."""

from pathlib import Path

import pytest

from dev.bootstrap import Stamp, clean_environment, environment_python, main

NOW = {"demo": "demo-lock", "dev": "dev-lock"}


@pytest.fixture
def venv(tmp_path: Path) -> Path:
    """A folder that looks like a virtual environment of Python 3.12."""
    folder = tmp_path / "ünï code" / ".venv"
    (folder / "bin").mkdir(parents=True)
    (folder / "bin" / "python").touch()
    (folder / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.12.1\n")
    return folder


def installed(venv: Path, profile: str, lock_digest: str) -> Stamp:
    stamp = Stamp(venv)
    stamp.begin()
    stamp.finish(profile, lock_digest)
    return stamp


@pytest.mark.parametrize(
    ("has", "wants", "enough"),
    [
        pytest.param(("demo", "demo-lock"), "demo", True, id="what was installed"),
        pytest.param(("dev", "dev-lock"), "dev", True, id="what was installed for development"),
        pytest.param(("dev", "dev-lock"), "demo", True, id="development holds the demo"),
        pytest.param(("demo", "demo-lock"), "dev", False, id="the demo does not hold development"),
        pytest.param(("demo", "older"), "demo", False, id="the lock file changed since"),
    ],
)
def test_a_stamp_satisfies_what_it_holds(venv: Path, has: tuple[str, str], wants: str, enough: bool) -> None:
    stamp = installed(venv, *has)

    assert stamp.satisfies(wants, NOW) is enough


def test_without_an_environment_nothing_is_satisfied_or_spoilt(tmp_path: Path) -> None:
    stamp = Stamp(tmp_path / ".venv")

    assert not stamp.satisfies("demo", NOW)
    assert not stamp.beyond_use


def test_an_environment_made_by_hand_is_used_but_not_trusted(venv: Path) -> None:
    stamp = Stamp(venv)

    assert not stamp.satisfies("demo", NOW)
    assert not stamp.beyond_use


def test_an_interrupted_install_is_done_over(venv: Path) -> None:
    installed(venv, "demo", "demo-lock")

    Stamp(venv).begin()  # and never finish

    assert not Stamp(venv).satisfies("demo", NOW)
    assert Stamp(venv).beyond_use


def test_an_interruption_while_the_environment_was_made_is_noticed(tmp_path: Path) -> None:
    Stamp(tmp_path / ".venv").begin()

    assert Stamp(tmp_path / ".venv").beyond_use


def test_an_environment_whose_python_was_removed_is_beyond_use(venv: Path) -> None:
    stamp = installed(venv, "demo", "demo-lock")
    (venv / "bin" / "python").unlink()
    (venv / "bin" / "python").symlink_to("/nowhere/python3")

    assert not stamp.satisfies("demo", NOW)
    assert stamp.beyond_use


def test_an_environment_of_an_old_python_is_beyond_use(venv: Path) -> None:
    (venv / "pyvenv.cfg").write_text("version_info = 3.9.2\n")

    assert Stamp(venv).beyond_use


def test_a_stamp_of_another_python_does_not_count(venv: Path) -> None:
    stamp = installed(venv, "demo", "demo-lock")
    (venv / "pyvenv.cfg").write_text("version = 3.13.0\n")

    assert not stamp.satisfies("demo", NOW)


def test_a_torn_stamp_does_not_count(venv: Path) -> None:
    stamp = installed(venv, "demo", "demo-lock")
    (venv / ".installed.json").write_text('{"python": [3, 1')

    assert not stamp.satisfies("demo", NOW)


@pytest.mark.parametrize(
    ("config", "version"),
    [
        ("version = 3.12.1", (3, 12)),
        ("version_info = 3.14.0.final.0", (3, 14)),  # written by uv and virtualenv
        ("implementation = CPython", ()),
    ],
)
def test_the_python_of_an_environment_is_read_from_its_configuration(
    venv: Path, config: str, version: tuple[int, ...]
) -> None:
    (venv / "pyvenv.cfg").write_text(f"home = /usr/bin\n{config}\n")

    assert environment_python(venv) == version


def test_nothing_in_the_environment_leads_an_install_elsewhere() -> None:
    cleaned = clean_environment({"PIP_USER": "1", "PYTHONPATH": "/elsewhere", "HOME": "/home/someone"})

    assert cleaned.keys().isdisjoint({"PIP_USER", "PYTHONPATH"})
    assert cleaned["HOME"] == "/home/someone"


def test_uv_obeys_what_pip_was_told_unless_told_itself() -> None:
    cleaned = clean_environment(
        {"PIP_INDEX_URL": "https://a.test", "PIP_CERT": "/pip.pem", "SSL_CERT_FILE": "/own.pem"}
    )

    assert cleaned["UV_DEFAULT_INDEX"] == "https://a.test"
    assert cleaned["SSL_CERT_FILE"] == "/own.pem"


@pytest.mark.parametrize("arguments", [[], ["production"], ["demo", "dev"]])
def test_an_unknown_profile_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert "demo|dev" in capsys.readouterr().err
