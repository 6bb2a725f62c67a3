"""Configuration from the environment (and a `.env` file in development), checked once at start-up.

Every field is one environment variable of the same name in capitals; `.env.example` explains each. A secret may
also be in a file, named by that variable with `_FILE` behind it. What production must not run with:
`servers/production.py`.
"""

import re
from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    IPvAnyNetwork,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from smsapp.limits import BY_KIND, Caps, Paces, parse_caps, parse_paces, split_list
from smsapp.recipients.phone import NumberKind
from smsapp.servers import production
from smsapp.servers.database_url import parse_database_url
from smsapp.servers.redis_address import RedisAddress, parse_redis_url
from smsapp.servers.secret_files import FILED, FileFault, SecretFiles
from smsapp.servers.urls import split_url

_SPAN = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_COUNTRY = re.compile(r"[A-Z]{2}|\*")
_PRICE = re.compile(r"\d{1,6}(\.\d{1,6})?")
_MESSAGING_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_TOKEN = re.compile(r"[!#-&(-~]+")
_FOREVER = "forever"
_NONE = "none"
_SPAN_UNITS = {"ms": "milliseconds", "s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


class ConfigurationError(Exception):
    """The environment does not describe a runnable service; the text lists every fault."""


def parse_span(value: object) -> object:
    """Read `90s`, `2m`, `72h`, `3d` or `500ms`."""
    if not isinstance(value, str):
        return value
    match = _SPAN.fullmatch(value.strip())
    if match is None:
        raise ValueError("must be a span of time such as 500ms, 90s, 2m, 72h or 3d")
    try:
        return timedelta(**{_SPAN_UNITS[match[2]]: float(match[1])})
    except OverflowError:
        raise ValueError("is longer than anybody will wait") from None


def _parse_kinds(value: object) -> object:
    """Read `premium,satellite`, or `none`."""
    return [] if value == _NONE else _split(value)


def _parse_kept(value: object) -> object:
    """Read a span, or `forever`, which no span says by accident."""
    if value == _FOREVER:
        return None
    try:
        return parse_span(value)
    except ValueError as error:
        raise ValueError(f"{error}, or `{_FOREVER}`") from None


def _split(value: object) -> object:
    return split_list(value) if isinstance(value, str) else value


def _parse_prices(value: object) -> object:
    """Read `US=0.0083,DE=0.0895,*=0.10`."""
    if not isinstance(value, str):
        return value
    prices = {}
    for part in split_list(value):
        country, _, price = (piece.strip() for piece in part.partition("="))
        if not _COUNTRY.fullmatch(country) or not _PRICE.fullmatch(price):
            raise ValueError("must be prices by country such as US=0.0083,DE=0.0895,*=0.10")
        prices[country] = Decimal(price)
    return prices


def _parse_sender(value: str) -> str:
    from smsapp.recipients.phone import InvalidSender, parse_sender  # noqa: PLC0415 - settings load before the domain

    try:
        return parse_sender(value)
    except InvalidSender as error:
        raise ValueError("must be an E.164 number, a short code or an alphanumeric sender ID") from error


def _blank_is_unset(value: object) -> object:
    return None if value == "" else value


def _in_capitals(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


Span = Annotated[timedelta, BeforeValidator(parse_span), Field(gt=timedelta(0))]
Optional = BeforeValidator(_blank_is_unset)
Kept = Annotated[Annotated[timedelta, Field(gt=timedelta(0))] | None, BeforeValidator(_parse_kept)]
"""For how long personal data are kept, None (written `forever`) for ever."""


class Settings(BaseSettings):
    """The operator's settings. Spans are written as `90s`, `2m`, `72h` or `3d`."""

    model_config = SettingsConfigDict(
        env_file=".env",
        extra="ignore",
        frozen=True,
        env_ignore_empty=True,
        str_strip_whitespace=True,
        validate_default=True,  # one of two contradicting settings may be a default
    )

    env: Literal["development", "production"] = (
        "development"  # first: it says how strictly others are checked
    )
    database_url: str = "sqlite:///var/smsapp.db"
    redis_url: str = "redis://127.0.0.1:6379/0"
    app_base_url: str

    twilio_account_sid: Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")]
    twilio_auth_token: Annotated[
        tuple[SecretStr, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)
    ]
    twilio_subaccount_sids: Annotated[
        tuple[Annotated[str, Field(pattern=r"^AC[0-9a-fA-F]{32}$")], ...], NoDecode, BeforeValidator(_split)
    ] = ()
    twilio_phone_number: Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)] = ()
    twilio_messaging_service_sid: Annotated[str | None, Field(pattern=r"^MG[0-9a-fA-F]{32}$"), Optional] = (
        None
    )
    twilio_api_base_url: str = "https://api.twilio.com"
    twilio_connect_timeout: Span = timedelta(seconds=3)
    twilio_read_timeout: Span = timedelta(seconds=10)

    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], BeforeValidator(_in_capitals)] = "INFO"
    log_format: Literal["auto", "json", "console"] = "auto"

    security_contact: Annotated[str | None, Field(pattern=r"^(mailto:|https://|tel:)[!-~]+$"), Optional] = (
        None
    )

    send_concurrency: Annotated[int, Field(ge=1, le=512)] = 32
    send_lease: Span = timedelta(seconds=60)
    send_max_age: Span = timedelta(hours=24)
    sender_pace: Annotated[dict[str, float], NoDecode, BeforeValidator(parse_paces)] = {}
    daily_cap: Annotated[int | None, Field(ge=0), Optional] = None
    country_caps: Annotated[
        dict[str, Annotated[int, Field(ge=0)]], NoDecode, BeforeValidator(parse_caps)
    ] = {}
    recipient_daily_limit: Annotated[int | None, Field(ge=1), Optional] = None
    refuse_number_types: Annotated[frozenset[NumberKind], NoDecode, BeforeValidator(_parse_kinds)] = (
        frozenset({"premium", "satellite", "international"})
    )
    min_delivery_ratio: Annotated[float | None, Field(gt=0, lt=1), Optional] = None
    delivery_sample: Annotated[int, Field(ge=1)] = 100
    delivery_window: Span = timedelta(hours=1)
    unconfirmed_lookup_after: Span = timedelta(minutes=1)
    unconfirmed_grace: Span = timedelta(minutes=10)
    on_unconfirmed: Literal["hold", "resend", "fail"] = "hold"
    resend_after_failure: bool = False
    price_per_segment: Annotated[dict[str, Decimal], NoDecode, BeforeValidator(_parse_prices)] = {}
    price_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    confirm_within: Span = timedelta(hours=72)
    poll_ages: Annotated[tuple[Span, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)] = (
        timedelta(minutes=2),
        timedelta(minutes=10),
        timedelta(hours=1),
        timedelta(hours=6),
        timedelta(hours=24),
        timedelta(hours=72),
    )
    price_ages: Annotated[tuple[Span, ...], NoDecode, BeforeValidator(_split), Field(min_length=1)] = (
        timedelta(minutes=5),
        timedelta(hours=1),
        timedelta(hours=26),
    )
    sweep_every: Span = timedelta(seconds=5)
    stream_reclaim_after: Span = timedelta(seconds=30)
    callback_batch: Annotated[int, Field(ge=1, le=5000)] = 2000
    max_stream_length: Annotated[int, Field(ge=1)] = 1_000_000
    push_timeout: Span = timedelta(seconds=15)
    push_concurrency: Annotated[int, Field(ge=1, le=64)] = 32
    push_allow_http: bool = False
    push_allowed_networks: Annotated[tuple[IPvAnyNetwork, ...], NoDecode, BeforeValidator(_split)] = ()
    max_due_messages: Annotated[int, Field(ge=1)] = 500_000
    job_window: Annotated[int, Field(ge=1, le=100_000)] = 1000

    max_waits: Annotated[int, Field(ge=1, le=8000)] = 4000
    max_waits_per_key: Annotated[int, Field(ge=1, le=8000)] = 2000
    max_event_streams: Annotated[int, Field(ge=1, le=900)] = 100
    keep_events: Span = timedelta(days=30)
    keep_texts: Kept = timedelta(days=30)
    keep_inbound: Kept = timedelta(days=30)
    keep_numbers: Kept = timedelta(days=396)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - pydantic passes it by name
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read secrets from their files first: a variable that is set beside its file is a fault."""
        files = SecretFiles(settings_cls, env_settings, dotenv_settings)
        return init_settings, files, env_settings, dotenv_settings

    @field_validator(*FILED, mode="before")
    @classmethod
    def _from_file(cls, value: object) -> object:
        if isinstance(value, FileFault):
            raise ValueError(value.text)  # noqa: TRY004 - pydantic reports only this kind
        return value

    @field_validator("app_base_url", "twilio_api_base_url")
    @classmethod
    def _base_url(cls, value: str) -> str:
        """Keep scheme, host and prefix; Twilio refuses underscores in a callback's host name (code 21609)."""
        parts = split_url(value)
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.query or parts.fragment:
            raise ValueError(
                "must be an http(s) URL without query or fragment, such as https://sms.example.com"
            )
        if "_" in parts.hostname:
            raise ValueError("the host name must not contain an underscore")
        if not value.isascii():
            raise ValueError("must be ASCII: the host name as xn--..., what follows it as %..")
        return value.rstrip("/")

    @field_validator("twilio_api_base_url")
    @classmethod
    def _without_user(cls, value: str) -> str:
        """Refuse a user in the address: requests carry the account's name and token in the same header."""
        if "@" in value:
            raise ValueError("must not contain a user: requests name the account")
        return value

    @field_validator("twilio_auth_token")
    @classmethod
    def _tokens(cls, value: tuple[SecretStr, ...]) -> tuple[SecretStr, ...]:
        """Refuse what no token contains: workers cannot put it into a header, and Twilio signs otherwise."""
        if not all(_TOKEN.fullmatch(token.get_secret_value()) for token in value):
            raise ValueError(
                "must be what Twilio shows, without quotes, blanks or other characters than ASCII"
            )
        return value

    @field_validator("database_url")
    @classmethod
    def _database_url(cls, value: str) -> str:
        """Accept the common spellings of PostgreSQL URLs; the driver is always psycopg."""
        return parse_database_url(value)

    @field_validator("redis_url")
    @classmethod
    def _redis_url(cls, value: str) -> str:
        parse_redis_url(value)
        return value

    @field_validator("twilio_phone_number")
    @classmethod
    def _senders(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(dict.fromkeys(map(_parse_sender, value)))

    @field_validator("sender_pace")
    @classmethod
    def _paces(cls, value: dict[str, float]) -> dict[str, float]:
        """Bring senders to the form in which messages name them."""
        paces = {}
        for name, rate in value.items():
            if not 0 <= rate < float("inf") or (rate == 0) != (name == BY_KIND):
                raise ValueError("a pace must be a number of segments per second above 0")
            known = name == BY_KIND or _MESSAGING_SERVICE.fullmatch(name)
            paces[name if known else _parse_sender(name)] = rate
        return paces

    # Contradictions are checked here, field by field. A model validator would run only once every field is valid, and
    # we report all faults at once.

    @field_validator("twilio_messaging_service_sid")
    @classmethod
    def _some_sender(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is None and info.data.get("twilio_phone_number", "faulty") == ():
            raise ValueError("set this or TWILIO_PHONE_NUMBER: messages need a sender")
        return value

    @field_validator("send_lease")
    @classmethod
    def _lease_outlasts_a_call(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        timeouts = [info.data.get(f"twilio_{kind}_timeout", timedelta(0)) for kind in ("connect", "read")]
        if value <= sum(timeouts, timedelta(0)):
            raise ValueError("must be longer than TWILIO_CONNECT_TIMEOUT and TWILIO_READ_TIMEOUT together")
        return value

    @field_validator(*production.CHECKS)
    @classmethod
    def _fit_for_production(cls, value: object, info: ValidationInfo) -> object:
        """Refuse what production must not run with; the last of each field's checks, so the value is a valid one."""
        check = production.CHECKS[str(info.field_name)]
        if info.data.get("env") == "production" and (fault := check(value, info.data)):
            raise ValueError(fault)
        return value

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """Tokens that may have signed a callback; the first authenticates our own requests."""
        return tuple(token.get_secret_value() for token in self.twilio_auth_token)

    @property
    def account_sids(self) -> frozenset[str]:
        """Accounts whose callbacks are taken, in lower case."""
        return frozenset(sid.lower() for sid in (self.twilio_account_sid, *self.twilio_subaccount_sids))

    @cached_property
    def redis(self) -> RedisAddress:
        """Where Redis is: what every client's arguments come from."""
        return parse_redis_url(self.redis_url)

    @cached_property
    def paces(self) -> Paces:
        """How fast each sender may submit messages."""
        named = {name: rate for name, rate in self.sender_pace.items() if name != BY_KIND}
        return Paces(named, by_kind=BY_KIND in self.sender_pace)

    @cached_property
    def caps(self) -> Caps:
        """The daily caps on messages."""
        return Caps(self.daily_cap, self.country_caps)

    @property
    def is_guarded(self) -> bool:
        """Whether any guard may hold due messages."""
        return self.min_delivery_ratio is not None or bool(self.caps)

    @property
    def is_sqlite(self) -> bool:
        """Whether the database is the single-machine default."""
        return self.database_url.startswith("sqlite")


def load_settings() -> Settings:
    """Return the settings of this process.

    Raises:
        ConfigurationError: with one line per fault, all of them at once.
    """
    try:
        settings = Settings()
    except ValidationError as error:
        raise configuration_error(
            f"{_variable(fault['loc'])}: {_reason(fault['type'], fault['msg'])}" for fault in error.errors()
        ) from None
    if settings.is_sqlite:
        try:
            Path(settings.database_url.removeprefix("sqlite:///")).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            fault = f"DATABASE_URL: its folder cannot be made ({error.strerror})"
            raise configuration_error([fault]) from None
    return settings


def configuration_error(faults: Iterable[str]) -> ConfigurationError:
    """Return the error that tells these faults, one a line."""
    lines = [f"  {fault}" for fault in dict.fromkeys(faults)]
    return ConfigurationError("\n".join(["smsapp cannot start; fix these settings:", *lines]))


def _variable(location: tuple[int | str, ...]) -> str:
    return str(location[0]).upper() if location else "settings"


def _reason(kind: str, message: str) -> str:
    return "is missing" if kind == "missing" else message.removeprefix("Value error, ")
