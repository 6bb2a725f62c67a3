"""The settings that tests run with: real shapes, invented secrets, nothing from this machine's environment."""

from typing import Any

from smsapp.config import Settings

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "test-auth-token"
SENDER = "+15005550006"
BASE_URL = "https://sms.example.test"


class _NoFile(Settings):
    """Settings that read neither `.env` nor the environment."""

    @classmethod
    def settings_customise_sources(cls, _settings_cls: Any, init_settings: Any, **_: Any) -> Any:  # type: ignore[override]
        return (init_settings,)


def make_settings(**overrides: Any) -> Settings:
    """Return valid settings, with some of them replaced."""
    values: dict[str, Any] = {
        "app_base_url": BASE_URL,
        "twilio_account_sid": ACCOUNT_SID,
        "twilio_auth_token": AUTH_TOKEN,
        "twilio_phone_number": SENDER,
        "database_url": "sqlite:///nowhere.db",
    }
    return _NoFile(**values | overrides)
