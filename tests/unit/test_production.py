"""ENV=production refuses to start with what is unsafe, all of it at once, each with its remedy."""

import subprocess
from pathlib import Path

import pytest

from smsapp.config import ConfigurationError, Settings, load_settings

ROOT = Path(__file__).parent.parent.parent
TOKEN = "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c"
PASSWORD = "c1f4a9e07b3d58264fd0"
SAFE = {
    "ENV": "production",
    "APP_BASE_URL": "https://sms.example.com",
    "DATABASE_URL": f"postgresql://smsapp:{PASSWORD}@postgres:5432/smsapp",
    "REDIS_URL": f"redis://:{PASSWORD}@redis:6379/0",
    "TWILIO_ACCOUNT_SID": "AC0123456789abcdef0123456789abcdef",
    "TWILIO_AUTH_TOKEN": TOKEN,
    "TWILIO_PHONE_NUMBER": "+14155550100",
}


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start without any setting, in a folder without `.env`."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(f"{name.upper()}_FILE", raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **changes: str) -> Settings:
    """Load settings that are safe but for the changes."""
    for name, value in (SAFE | changes).items():
        monkeypatch.setenv(name, value)
    return load_settings()


def faults(monkeypatch: pytest.MonkeyPatch, **changes: str) -> dict[str, str]:
    """Return what is said about each variable."""
    with pytest.raises(ConfigurationError) as raised:
        load(monkeypatch, **changes)
    lines = [line.strip().partition(": ") for line in str(raised.value).split("\n")[1:]]
    return {name: text for name, _, text in lines}


UNSAFE = [
    ("TWILIO_ACCOUNT_SID", "AC" + "0" * 32, "console.twilio.com"),
    ("TWILIO_AUTH_TOKEN", "simulator-auth-token", "console.twilio.com"),
    ("TWILIO_AUTH_TOKEN", "simulator-auth-token-but-much-longer", "console.twilio.com"),
    ("TWILIO_AUTH_TOKEN", TOKEN[:31], "console.twilio.com"),
    ("TWILIO_AUTH_TOKEN", f"{TOKEN},old", "console.twilio.com"),
    ("TWILIO_AUTH_TOKEN", "0" * 32, "console.twilio.com"),
    ("TWILIO_AUTH_TOKEN", "your_auth_token_goes_right_here_ok", "console.twilio.com"),
    ("DATABASE_URL", "postgresql://smsapp:smsapp@postgres:5432/smsapp", "openssl rand"),
    ("DATABASE_URL", "postgresql://postgres:postgres@db/sms", "openssl rand"),
    ("DATABASE_URL", "postgresql://app:short@db/sms", "openssl rand"),
    ("DATABASE_URL", "postgresql://app:change-me-change-me@db/sms", "openssl rand"),
    ("DATABASE_URL", "postgresql://orders:orders-orders-orders@db/sms", "openssl rand"),
    ("DATABASE_URL", "postgresql://smsapp@db/sms", "has no password"),
    ("DATABASE_URL", f"postgresql://app:{PASSWORD}@db/sms?password=smsapp", "openssl rand"),
    ("DATABASE_URL", "postgresql:///sms?host=db&user=app&password=app", "openssl rand"),
    ("REDIS_URL", "redis://redis:6379/0", "requirepass"),
    ("REDIS_URL", "redis://127.0.0.1:6379/0", "requirepass"),
    ("REDIS_URL", "rediss://redis:6379/0", "requirepass"),
    ("REDIS_URL", "redis://:redis@redis:6379/0", "openssl rand"),
    ("REDIS_URL", "redis://app:aaaaaaaaaaaaaaaaaaaa@redis:6379/0", "openssl rand"),
    ("APP_BASE_URL", "http://sms.example.com", "https://"),
    ("APP_BASE_URL", "HTTP://sms.example.com", "https://"),
    ("TWILIO_API_BASE_URL", "http://simulator:8900", "https://"),
    ("LOG_LEVEL", "debug", "INFO"),
]


@pytest.mark.parametrize(("name", "value", "remedy"), UNSAFE)
def test_production_refuses_what_is_unsafe_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, remedy: str
) -> None:
    told = faults(monkeypatch, **{name: value})

    assert set(told) == {name}
    assert remedy in told[name]
    assert TOKEN[:31] not in told[name]
    assert PASSWORD not in told[name]


def test_everything_that_is_unsafe_is_told_at_once_beside_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unsafe = {name: value for name, value, _ in UNSAFE}

    assert set(faults(monkeypatch, **unsafe, SEND_LEASE="soon")) == {*unsafe, "SEND_LEASE"}


@pytest.mark.parametrize(("name", "value", "_remedy"), UNSAFE)
def test_development_takes_all_of_it(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, _remedy: str
) -> None:
    load(monkeypatch, **{"ENV": "development", name: value})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_AUTH_TOKEN", f"{TOKEN},{TOKEN[::-1]}"),
        ("DATABASE_URL", "postgresql:///sms?host=/run/postgresql"),
        ("DATABASE_URL", "postgresql://app@db/sms?passfile=/run/secrets/pgpass"),
        ("DATABASE_URL", "postgresql://app:Vq3%40x9-Lk2_Tm7.Hd@db/sms?sslmode=verify-full"),
        ("REDIS_URL", "unix:///run/redis.sock"),
        ("REDIS_URL", f"rediss://app:{PASSWORD}@redis:6379/0"),
        ("TWILIO_API_BASE_URL", "https://api.twilio.com"),
        ("LOG_LEVEL", "WARNING"),
    ],
)
def test_production_takes_what_is_safe(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    assert load(monkeypatch, **{name: value}).env == "production"


def test_sqlite_beside_a_redis_on_another_host_is_told_with_what_else_is_wrong(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = faults(monkeypatch, DATABASE_URL="sqlite:///sms.db", REDIS_URL="redis://redis")

    assert set(told) == {"REDIS_URL"}
    assert "use postgresql://" in told["REDIS_URL"]
    assert "requirepass" in told["REDIS_URL"]


def test_sqlite_serves_one_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for here in (f"redis://:{PASSWORD}@127.0.0.1:6379/0", "unix:///run/redis.sock"):
        assert load(monkeypatch, DATABASE_URL="sqlite:///sms.db", REDIS_URL=here).is_sqlite


def test_without_env_nothing_of_this_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(monkeypatch, ENV="", TWILIO_AUTH_TOKEN="short").env == "development"


# Secrets by file.


@pytest.mark.parametrize("name", ["TWILIO_AUTH_TOKEN", "DATABASE_URL", "REDIS_URL"])
def test_a_secret_can_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str) -> None:
    usual = load(monkeypatch)
    (tmp_path / "secret").write_text(f"{SAFE[name]}\r\n")
    monkeypatch.setenv(f"{name}_FILE", str(tmp_path / "secret"))

    assert load(monkeypatch, **{name: ""}) == usual


def test_the_file_of_a_secret_can_be_named_in_the_env_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(TOKEN)
    (tmp_path / ".env").write_text("TWILIO_AUTH_TOKEN_FILE=secret\n")

    assert load(monkeypatch, TWILIO_AUTH_TOKEN="").auth_tokens == (TOKEN,)


@pytest.mark.parametrize(
    ("content", "told"),
    [(None, "cannot be read"), (b"", "is empty"), (b"\n ", "is empty"), (b"\xff\xfe", "file of text")],
)
def test_a_file_without_a_secret_is_a_fault_like_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None, told: str
) -> None:
    if content is not None:
        (tmp_path / "secret").write_bytes(content)
    monkeypatch.setenv("DATABASE_URL_FILE", str(tmp_path / "secret"))

    said = faults(monkeypatch, DATABASE_URL="", LOG_LEVEL="loud")

    assert set(said) == {"DATABASE_URL", "LOG_LEVEL"}
    assert told in said["DATABASE_URL"]
    assert said["DATABASE_URL"].startswith("DATABASE_URL_FILE ")


def test_a_secret_beside_its_file_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(TOKEN)
    monkeypatch.setenv("TWILIO_AUTH_TOKEN_FILE", str(tmp_path / "secret"))

    assert "remove one of them" in faults(monkeypatch)["TWILIO_AUTH_TOKEN"]


def test_the_environment_wins_over_a_file_that_the_env_file_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("TWILIO_AUTH_TOKEN_FILE=nowhere\n")

    assert load(monkeypatch).auth_tokens == (TOKEN,)


def test_what_make_secrets_writes_is_fit_for_production(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "deploy").mkdir()
    script = tmp_path / "deploy" / "make-secrets"
    script.write_bytes((ROOT / "deploy" / "make-secrets").read_bytes())

    for _ in range(2):  # the second run changes nothing
        subprocess.run(
            ["/bin/sh", script], env={"PATH": "/usr/bin:/bin", "TWILIO_AUTH_TOKEN": TOKEN}, check=True
        )
        written = {path.name: path.read_text() for path in (tmp_path / "secrets").iterdir()}
    for name in ("TWILIO_AUTH_TOKEN", "DATABASE_URL", "REDIS_URL"):
        monkeypatch.setenv(f"{name}_FILE", f"secrets/{name.lower()}")
    settings = load(monkeypatch, TWILIO_AUTH_TOKEN="", DATABASE_URL="", REDIS_URL="")

    assert settings.auth_tokens == (TOKEN,)
    assert written["redis_conf"] == f"requirepass {settings.redis.password}\n"
    assert f":{written['postgres_password'].strip()}@postgres:" in settings.database_url
    assert (tmp_path / "secrets").stat().st_mode & 0o777 == 0o700
