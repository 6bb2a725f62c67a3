"""The configuration: every fault told at once, every usual spelling taken, no secret ever shown."""

import os
import re
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from smsapp.config import ConfigurationError, Settings, Span, load_settings

GOOD = {
    "APP_BASE_URL": "https://sms.example.com",
    "TWILIO_ACCOUNT_SID": "AC" + "0" * 32,
    "TWILIO_AUTH_TOKEN": "s3cr3t-token",
    "TWILIO_PHONE_NUMBER": "+15005550006",
}
SERVICE = "MG" + "a" * 32


@pytest.fixture(autouse=True)
def _nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Start without any setting, in a folder without `.env`."""
    monkeypatch.chdir(tmp_path)
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)


def load(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> Settings:
    """Load settings from an environment that is good but for the changes; None leaves a variable out."""
    for name, value in (GOOD | changes).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return load_settings()


def faults(monkeypatch: pytest.MonkeyPatch, **changes: str | None) -> dict[str, str]:
    """Return what is said about each variable."""
    with pytest.raises(ConfigurationError) as raised:
        load(monkeypatch, **changes)
    first, *lines = str(raised.value).split("\n")
    assert first == "smsapp cannot start; fix these settings:"
    assert all(re.fullmatch(r"  [A-Z_]+: \S.*", line) for line in lines), lines
    named = [line.strip().partition(": ") for line in lines]
    assert len({name for name, _, _ in named}) == len(named)
    return {name: text for name, _, text in named}


def test_four_variables_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch)

    assert settings.app_base_url == "https://sms.example.com"
    assert settings.auth_tokens == ("s3cr3t-token",)
    assert settings.is_sqlite


def test_an_empty_environment_is_told_all_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert faults(monkeypatch, **dict.fromkeys(GOOD)) == {
        "APP_BASE_URL": "is missing",
        "TWILIO_ACCOUNT_SID": "is missing",
        "TWILIO_AUTH_TOKEN": "is missing",
        "TWILIO_MESSAGING_SERVICE_SID": "set this or TWILIO_PHONE_NUMBER: messages need a sender",
    }


def test_empty_variables_are_missing_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    empty = faults(monkeypatch, **dict.fromkeys(GOOD, ""))

    assert set(empty) == {*GOOD, "TWILIO_MESSAGING_SERVICE_SID"} - {"TWILIO_PHONE_NUMBER"}


def test_every_fault_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    nonsense = {
        "APP_BASE_URL": "sms.example.com",
        "CALLBACK_BATCH": "0",
        "SENDER_PACE": "fast",
        "TWILIO_SUBACCOUNT_SIDS": "AC1, SK2",
        "CONFIRM_WITHIN": "soon",
        "COUNTRY_CAPS": "America=1",
        "DAILY_CAP": "-1",
        "DELIVERY_SAMPLE": "0",
        "DELIVERY_WINDOW": "-1h",
        "MIN_DELIVERY_RATIO": "70",
        "DATABASE_URL": "mysql://localhost/sms",
        "ENV": "staging",
        "LOG_FORMAT": "xml",
        "LOG_LEVEL": "loud",
        "JOB_WINDOW": "0",
        "MAX_DUE_MESSAGES": "many",
        "KEEP_EVENTS": "for ever",
        "KEEP_INBOUND": "for ever",
        "KEEP_NUMBERS": "0d",
        "KEEP_TEXTS": "always",
        "MAX_EVENT_STREAMS": "1000",
        "MAX_STREAM_LENGTH": "-1",
        "MAX_WAITS": "0",
        "MAX_WAITS_PER_KEY": "9000",
        "ON_UNCONFIRMED": "pray",
        "POLL_AGES": "2m,later",
        "PRICE_AGES": "5m,later",
        "PRICE_CURRENCY": "dollars",
        "PRICE_PER_SEGMENT": "cheap",
        "PUSH_ALLOWED_NETWORKS": "home",
        "PUSH_ALLOW_HTTP": "perhaps",
        "PUSH_CONCURRENCY": "0",
        "PUSH_TIMEOUT": "-1s",
        "REDIS_URL": "http://localhost",
        "SECURITY_CONTACT": "us",
        "RECIPIENT_DAILY_LIMIT": "0",
        "REFUSE_NUMBER_TYPES": "expensive",
        "RESEND_AFTER_FAILURE": "perhaps",
        "SEND_CONCURRENCY": "10000",
        "SEND_LEASE": "5s",
        "SEND_MAX_AGE": "0s",
        "STREAM_RECLAIM_AFTER": "-1s",
        "SWEEP_EVERY": "99999999999d",
        "TWILIO_ACCOUNT_SID": "AC123",
        "TWILIO_API_BASE_URL": "ftp://example.com",
        "TWILIO_AUTH_TOKEN": ",",
        "TWILIO_CONNECT_TIMEOUT": "3",
        "TWILIO_MESSAGING_SERVICE_SID": "MG123",
        "TWILIO_PHONE_NUMBER": "nobody!",
        "TWILIO_READ_TIMEOUT": "10 minutes",
        "UNCONFIRMED_GRACE": "1w",
        "UNCONFIRMED_LOOKUP_AFTER": "m",
    }
    assert set(nonsense) == {name.upper() for name in Settings.model_fields}

    # Without timeouts there is nothing that the lease could be shorter than.
    assert set(faults(monkeypatch, **nonsense)) == set(nonsense) - {"SEND_LEASE"}


@pytest.mark.parametrize(
    "value",
    ["sms.example.com", "https://", "https://sms.example.com?x=1", "https://sms.example.com#a", "https://a_b.example.com",
     "https://smś.example.com", "https://sms.example.com/ś",
     "https://sms.example.com:http", "https://[::1", "https://sms example.com", "ftp://sms.example.com", "https://x\ty"],
)  # fmt: skip
def test_an_address_that_twilio_could_not_reach_is_refused(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    assert set(faults(monkeypatch, APP_BASE_URL=value)) == {"APP_BASE_URL"}


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        ("https://sms.example.com/", "https://sms.example.com"),
        (" https://sms.example.com ", "https://sms.example.com"),
        ("https://example.com:8443/sms/", "https://example.com:8443/sms"),
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("http://[::1]:8000", "http://[::1]:8000"),
        ("https://user:password@sms.example.com", "https://user:password@sms.example.com"),
    ],
)
def test_an_address_is_kept_without_its_last_slash(
    monkeypatch: pytest.MonkeyPatch, value: str, kept: str
) -> None:
    assert load(monkeypatch, APP_BASE_URL=value).app_base_url == kept


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TWILIO_API_BASE_URL", "https://user:password@twilio.example.com"),
        ("TWILIO_API_BASE_URL", "https://twílio.example.com"),
        ("TWILIO_AUTH_TOKEN", '"quoted-by-docker"'),
        ("TWILIO_AUTH_TOKEN", "new,two words"),
        ("TWILIO_AUTH_TOKEN", "tökén"),
        ("TWILIO_AUTH_TOKEN", "with\u200binvisible"),
    ],
)
def test_what_only_some_processes_could_use_is_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    assert set(faults(monkeypatch, **{name: value})) == {name}


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_is_taken(monkeypatch: pytest.MonkeyPatch, scheme: str) -> None:
    settings = load(monkeypatch, DATABASE_URL=f"{scheme}://u:p@localhost:5432/sms?sslmode=require")

    assert settings.database_url == "postgresql+psycopg://u:p@localhost:5432/sms?sslmode=require"
    assert not settings.is_sqlite


@pytest.mark.parametrize(
    "value",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "postgresql+asyncpg://localhost/sms",
        "postgresql://h:port/d",
    ],
)
def test_a_database_that_cannot_serve_is_refused(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert set(faults(monkeypatch, DATABASE_URL=value)) == {"DATABASE_URL"}


def test_the_folder_of_an_sqlite_file_is_made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    load(monkeypatch, DATABASE_URL="sqlite:///a/b/sms.db")

    assert (tmp_path / "a" / "b").is_dir()


def test_a_folder_that_cannot_be_made_is_a_fault_like_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    assert set(faults(monkeypatch, DATABASE_URL="sqlite:///file/sms.db")) == {"DATABASE_URL"}


@pytest.mark.parametrize("value", ["redis://h:6379/0", "rediss://:p@h/1", "unix:///run/redis.sock"])
def test_every_spelling_of_redis_is_taken(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    assert load(monkeypatch, REDIS_URL=value).redis_url == value


def test_a_port_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(faults(monkeypatch, REDIS_URL="redis://localhost:port/0")) == {"REDIS_URL"}


@pytest.mark.parametrize(
    ("value", "span"),
    [
        ("500ms", timedelta(milliseconds=500)),
        ("90s", timedelta(seconds=90)),
        ("1.5m", timedelta(seconds=90)),
        (" 72h ", timedelta(days=3)),
        ("3d", timedelta(days=3)),
    ],
)
def test_spans_are_written_with_their_unit(
    monkeypatch: pytest.MonkeyPatch, value: str, span: timedelta
) -> None:
    assert load(monkeypatch, CONFIRM_WITHIN=value).confirm_within == span


@given(st.text(max_size=12))
def test_no_text_makes_a_span_break(text: str) -> None:
    with suppress(ValidationError):
        assert TypeAdapter(Span).validate_python(text) > timedelta(0)


def test_several_values_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, TWILIO_AUTH_TOKEN="new , old,", POLL_AGES="1m, 2h")

    assert settings.auth_tokens == ("new", "old")
    assert settings.poll_ages == (timedelta(minutes=1), timedelta(hours=2))


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("LOG_LEVEL", "debug", "DEBUG"),
        ("RESEND_AFTER_FAILURE", "yes", True),
        ("RESEND_AFTER_FAILURE", "0", False),
        ("TWILIO_PHONE_NUMBER", "+1 (500) 555-0006", ("+15005550006",)),
        ("TWILIO_PHONE_NUMBER", "12345, 12345,+15005550006", ("12345", "+15005550006")),
        ("TWILIO_PHONE_NUMBER", "My Shop", ("My Shop",)),
        ("TWILIO_ACCOUNT_SID", f" {GOOD['TWILIO_ACCOUNT_SID']} ", GOOD["TWILIO_ACCOUNT_SID"]),
    ],
)
def test_usual_spellings_are_taken(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, kept: object
) -> None:
    assert getattr(load(monkeypatch, **{name: value}), name.lower()) == kept


def test_either_sender_will_do_and_so_will_both(monkeypatch: pytest.MonkeyPatch) -> None:
    both = load(monkeypatch, TWILIO_MESSAGING_SERVICE_SID=SERVICE)
    monkeypatch.delenv("TWILIO_PHONE_NUMBER")
    service = load(monkeypatch, TWILIO_PHONE_NUMBER=None, TWILIO_MESSAGING_SERVICE_SID=SERVICE)

    assert (both.twilio_phone_number, both.twilio_messaging_service_sid) == (("+15005550006",), SERVICE)
    assert (service.twilio_phone_number, service.twilio_messaging_service_sid) == ((), SERVICE)


def test_a_lease_shorter_than_a_call_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(faults(monkeypatch, SEND_LEASE="13s")) == {"SEND_LEASE"}


def test_a_call_longer_than_the_default_lease_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    assert set(faults(monkeypatch, TWILIO_READ_TIMEOUT="2m")) == {"SEND_LEASE"}


def test_secrets_are_never_in_the_text(monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "hunter2"

    with pytest.raises(ConfigurationError) as raised:
        load(
            monkeypatch,
            APP_BASE_URL=f"ftp://u:{secret}@example.com",
            DATABASE_URL=f"postgresql://u:{secret}@h:{secret}/d",
            REDIS_URL=f"redis://:{secret}@h:{secret}",
            TWILIO_ACCOUNT_SID=secret,
            TWILIO_AUTH_TOKEN=f",{' '},",
            TWILIO_API_BASE_URL=f"https://u:{secret}@h?{secret}",
            TWILIO_PHONE_NUMBER=f"{secret}!!",
            LOG_LEVEL=secret,
            SEND_LEASE=secret,
        )

    assert secret not in str(raised.value)
    assert raised.value.__cause__ is None
    assert raised.value.__suppress_context__
    assert "hunter2" not in repr(
        load(monkeypatch, TWILIO_AUTH_TOKEN=secret, **_good_again()).twilio_auth_token
    )


def _good_again() -> dict[str, str]:
    others = {
        "DATABASE_URL": "sqlite:///sms.db",
        "REDIS_URL": "redis://h",
        "LOG_LEVEL": "INFO",
        "SEND_LEASE": "60s",
    }
    unchanged = {name: value for name, value in GOOD.items() if name != "TWILIO_AUTH_TOKEN"}
    return unchanged | others | {"TWILIO_API_BASE_URL": "https://api.twilio.com"}


def test_the_environment_wins_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("LOG_LEVEL=ERROR\r\nSEND_CONCURRENCY=7\r\nUNKNOWN=1\r\n")

    settings = load(monkeypatch, LOG_LEVEL="DEBUG")

    assert (settings.log_level, settings.send_concurrency) == ("DEBUG", 7)
    assert "SEND_CONCURRENCY" not in os.environ


def test_prices_are_read_by_country(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, PRICE_PER_SEGMENT="US=0.0083, DE = 0.0895,*=1", PRICE_CURRENCY="EUR")

    assert {country: str(price) for country, price in settings.price_per_segment.items()} == {
        "US": "0.0083",
        "DE": "0.0895",
        "*": "1",
    }
    assert load(monkeypatch, PRICE_PER_SEGMENT="").price_per_segment == {}


@pytest.mark.parametrize(
    "text", ["0.01", "US", "US=", "us=0.01", "USA=0.01", "US=-1", "US=NaN", "US=1e3", "US=0,01"]
)
def test_prices_that_nobody_can_read_are_refused(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    assert "PRICE_PER_SEGMENT" in faults(monkeypatch, PRICE_PER_SEGMENT=text)


@pytest.mark.parametrize(
    ("value", "refused"),
    [("none", set()), ("premium", {"premium"}), ("premium, unassigned", {"premium", "unassigned"})],
)
def test_kinds_of_numbers_are_a_list_or_none(
    monkeypatch: pytest.MonkeyPatch, value: str, refused: set[str]
) -> None:
    assert load(monkeypatch, REFUSE_NUMBER_TYPES=value).refuse_number_types == refused


@pytest.mark.parametrize(("value", "days"), [("forever", None), ("90d", 90), ("", 30)])
def test_texts_are_kept_for_a_span_or_for_ever(
    monkeypatch: pytest.MonkeyPatch, value: str, days: int | None
) -> None:
    kept = load(monkeypatch, KEEP_TEXTS=value).keep_texts

    assert kept == (None if days is None else timedelta(days=days))
