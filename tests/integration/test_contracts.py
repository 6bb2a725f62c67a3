"""What must agree across files, so that a change in one of them cannot quietly forget another."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import create_engine, inspect

from celeryconfig import celery_settings
from dev.processes import procfile_commands
from smsapp.cli.database import alembic_config
from smsapp.cli.openapi import FILE, render
from smsapp.config import Settings, load_settings
from smsapp.db.base import Base
from smsapp.db.engine import prepare_engine
from smsapp.queue.tasks import ROUTES, QueueName, Task
from tests.support.environment import ACCOUNT_SID, AUTH_TOKEN, BASE_URL, SENDER, make_settings
from tests.support.web import Api, problem, serving

ROOT = Path(__file__).parent.parent.parent
NEEDED = {
    "APP_BASE_URL": BASE_URL,
    "TWILIO_ACCOUNT_SID": ACCOUNT_SID,
    "TWILIO_AUTH_TOKEN": AUTH_TOKEN,
    "TWILIO_PHONE_NUMBER": SENDER,
}
OPEN_TO_ALL = {
    "/livez", "/readyz", "/metrics", "/openapi.json", "/docs", "/static/<path:filename>", "/.well-known/security.txt",
}  # fmt: skip


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with serving(settings) as api:
        yield api


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python from the project's folder, with an environment of its own."""
    bare = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=bare | environment,
        capture_output=True,
        text=True,
        check=False,
    )


# --- Jobs and queues


def test_the_worker_registers_exactly_the_jobs() -> None:
    program = (
        "import json; from worker.app import app; app.loader.import_default_modules();"
        "print(json.dumps([name for name in app.tasks if not name.startswith('celery.')]))"
    )

    done = run("-c", program, **NEEDED)

    assert done.returncode == 0, done.stderr
    assert sorted(json.loads(done.stdout)) == sorted(Task)


def test_beat_and_flower_import_no_service() -> None:
    program = "import json, sys; import worker.schedule; print(json.dumps(sorted(sys.modules)))"

    done = run("-c", program, **NEEDED)

    assert done.returncode == 0, done.stderr
    loaded = set(json.loads(done.stdout))
    assert loaded.isdisjoint({"sqlalchemy", "flask", "twilio", "smsapp.connect", "worker.tasks"})
    for name in ("beat", "flower"):
        assert "celery -A worker.schedule" in procfile_commands(ROOT / "Procfile")[name]


def test_every_job_has_a_queue_and_every_queue_a_worker() -> None:
    settings = celery_settings(make_settings())
    served = {queue.name for queue in settings["task_queues"]}

    assert set(ROUTES) == set(Task)
    assert served == set(ROUTES.values()) == set(QueueName)
    assert settings["task_routes"] == {job: {"queue": queue} for job, queue in ROUTES.items()}
    assert settings["task_default_queue"] in served


def test_the_schedule_knows_only_jobs_and_their_queues() -> None:
    for entry in celery_settings(make_settings())["beat_schedule"].values():
        assert entry["options"]["queue"] == ROUTES[Task(entry["task"])]


def test_the_workers_of_procfile_and_compose_serve_every_queue() -> None:
    procfile = procfile_commands(ROOT / "Procfile")["worker"]
    compose = compose_commands()["worker"]

    for started in (procfile, compose):
        assert "celery -A worker.app worker" in started
        assert not re.search(r"\s(-Q|--queues|-X|--exclude-queues)\b", started)
    assert options(procfile) == options(compose)


def test_compose_starts_what_the_procfile_starts() -> None:
    procfile, compose = procfile_commands(ROOT / "Procfile"), compose_commands()

    for name in ("web", "worker", "beat", "flower"):
        assert options(procfile[name])[:4] == options(compose[name])[:4]


def compose_commands() -> dict[str, str]:
    """Return the command of each service; enough YAML for a file of our own."""
    services = (ROOT / "docker-compose.yml").read_text().partition("\nservices:\n")[2]
    blocks = re.split(r"(?m)^  (\w+):.*\n", services.partition("\nvolumes:")[0])[1:]
    found = {}
    for name, block in zip(blocks[::2], blocks[1::2], strict=True):
        command_line = re.search(r"(?m)^    command: (?:>-\n)?((?:.+\n)(?:      .+\n)*)", block)
        if command_line:
            found[name] = " ".join(command_line[1].replace("$$", "$").split())
    return found


def options(command_line: str) -> list[str]:
    """Return the words after `python -m`, in the shell that Compose needs as without."""
    return command_line.partition("python -m ")[2].rpartition("python -m ")[2].rstrip("'").split()


# --- Configuration


def env_example() -> tuple[dict[str, str], set[str]]:
    """Return the example's settings with their values, and the names of variables that smsapp does not read."""
    settings, _, processes = (ROOT / ".env.example").read_text().partition("# --- Processes")
    line = re.compile(r"(?m)^(?:# )?([A-Z][A-Z0-9_]*)=(.*)$")
    return dict(line.findall(settings)), {name for name, _ in line.findall(processes)}


def test_the_example_explains_exactly_the_settings() -> None:
    assert set(env_example()[0]) == {name.upper() for name in Settings.model_fields}


def test_the_example_shows_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name, value in env_example()[0].items():
        monkeypatch.setenv(name, value or NEEDED.get(name, ""))
    shown = load_settings()

    assert shown.model_dump() == make_settings(database_url="sqlite:///var/smsapp.db").model_dump()


def test_the_example_lacks_only_what_nobody_else_can_know(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_bytes((ROOT / ".env.example").read_bytes())
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)

    assert load_settings().app_base_url == BASE_URL


def test_the_example_names_every_variable_of_the_processes() -> None:
    started = "".join(
        (ROOT / name).read_text() for name in ("Procfile", "docker-compose.yml", "deploy/gunicorn.py")
    )
    read = set(re.findall(r"\$\{(\w+)|environ(?:\.get\(|\[)[\"'](\w+)", started))
    names = {name for pair in read for name in pair if name}

    assert names - env_example()[1] == set()


# --- The API


def test_the_committed_api_document_is_the_one_that_is_served(api: Api) -> None:
    committed = FILE.read_bytes()

    assert committed == render()
    assert json.loads(committed) == api.client.get("/openapi.json").json


def test_the_api_document_needs_no_configuration() -> None:
    done = run("-m", "smsapp", "openapi", "--check", APP_BASE_URL="nonsense", DATABASE_URL="mysql://nowhere")

    assert (done.returncode, done.stderr) == (0, "")


def test_every_address_asks_who_is_there(api: Api) -> None:
    refused = 0
    for rule in api.app.url_map.iter_rules():
        if rule.rule in OPEN_TO_ALL:
            continue
        path = re.sub("<[^>]+>", "msg_" + "0" * 32, rule.rule)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            answer = api.client.open(path, method=method)
            if path.startswith("/twilio/"):
                problem(answer, 403, "signature_missing")
            else:
                problem(answer, 401, "unauthorized")
            refused += 1
    assert refused >= 7


# --- The database


def test_the_migrations_make_what_the_models_say(settings: Settings) -> None:
    engine = create_engine(settings.database_url)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        differences = compare_metadata(context, Base.metadata)
    engine.dispose()

    assert differences == []


def test_the_migrations_can_be_undone_and_made_again(settings: Settings) -> None:
    engine = prepare_engine(create_engine(settings.database_url))

    def tables() -> set[str]:
        return set(inspect(engine).get_table_names())

    before = tables()
    command.downgrade(alembic_config(settings), "base")
    between = tables()
    command.upgrade(alembic_config(settings), "head")

    assert between <= {"alembic_version"}
    assert tables() == before == {*Base.metadata.tables, "alembic_version"}
    engine.dispose()
