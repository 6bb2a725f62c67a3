"""The API document is good enough for generators: one makes models of it without a complaint, and they work."""

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

from smsapp.config import Settings
from tests.support.stack import ROOT
from tests.support.web import TO, Api, serving


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """What the generator makes of the committed document."""
    file = tmp_path / "generated_models.py"
    done = subprocess.run(
        [sys.executable, "-m", "datamodel_code_generator", "--input", str(ROOT / "openapi.json"),
         "--input-file-type", "openapi", "--output-model-type", "pydantic_v2.BaseModel",
         "--target-python-version", "3.11", "--formatters", "builtin", "--disable-timestamp",
         "--output", str(file)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )  # fmt: skip
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    specification = importlib.util.spec_from_file_location(file.stem, file)
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, file.stem, module)
    specification.loader.exec_module(module)
    return module


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_generated_models_make_requests_and_read_answers(api: Api, models: ModuleType) -> None:
    plan = {"steps": [{"on": ["retry_later"], "do": "resend", "after": "5m"}]}
    request = models.SendRequest.model_validate(
        {"to": TO, "body": "Hello!", "from": "+15005550006", "on_failure": plan}
    )

    sent = api.post(request.model_dump(mode="json", by_alias=True, exclude_unset=True))
    message = models.Message.model_validate_json(sent.data)
    refused = models.Problem.model_validate_json(api.get("/sms/messages/unknown").data)

    assert (sent.status_code, message.to, message.from_) == (202, TO, "+15005550006")
    assert message.on_failure == plan
    assert (refused.status, refused.code) == (404, "message_not_found")


def test_generated_models_know_what_the_service_would_refuse(models: ModuleType) -> None:
    for document in ({"body": "x"}, {"to": "nobody", "body": "x"}, {"to": TO, "body": "x", "colour": "red"}):
        with pytest.raises(ValueError, match="SendRequest"):
            models.SendRequest.model_validate(document)
