"""`python -m smsapp openapi`: writes the document, and notices when the file is another one."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from smsapp.cli import openapi
from smsapp.cli.main import main


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command writes to in this test."""
    monkeypatch.setattr(openapi, "FILE", tmp_path / "openapi.json")
    return openapi.FILE


def test_what_was_written_passes_the_check(file: Path) -> None:
    written = CliRunner().invoke(main, ["openapi"])
    checked = CliRunner().invoke(main, ["openapi", "--check"])

    assert (written.exit_code, checked.exit_code, checked.output) == (0, 0, "")
    assert json.loads(file.read_text())["info"]["title"] == "smsapp"
    assert file.read_text().endswith("}\n")


@pytest.mark.parametrize("content", [None, "", "{}\n"])
def test_a_missing_or_older_file_fails_the_check_and_stays(file: Path, content: str | None) -> None:
    if content is not None:
        file.write_text(content)

    checked = CliRunner().invoke(main, ["openapi", "--check"])

    assert checked.exit_code == 1
    assert "make openapi" in checked.output
    assert (file.read_text() if file.exists() else None) == content
