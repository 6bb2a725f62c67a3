"""Every option, declared once: default, range and help; the command line and the environment follow from it.

`Settings` hold for the life of the process; `Behaviour` can be changed while it runs (`POST /_config`).
"""

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, Self

ACCOUNT_SID = "AC" + "0" * 32
AUTH_TOKEN = "simulator-auth-token"


class OptionError(ValueError):
    """An option has an unknown name or a value out of its range."""


def _option(
    default: Any, text: str, *, env: str | None = None, low: float = 0, high: float = float("inf")
) -> Any:
    return field(default=default, metadata={"help": text, "env": env, "low": low, "high": high})


def _share(text: str) -> Any:
    return _option(0.0, f"share (0 to 1) of {text}", high=1)


@dataclass(frozen=True, slots=True)
class Settings:
    """Who the simulated account is and where it listens."""

    host: str = _option("127.0.0.1", "address to listen on")
    port: int = _option(8900, "port to listen on; 0 takes a free one and prints it", high=65535)
    account_sid: str = _option(ACCOUNT_SID, "the account", env="TWILIO_ACCOUNT_SID")
    auth_token: str = _option(
        AUTH_TOKEN, "tokens, separated by commas: the first signs, any authenticates", env="TWILIO_AUTH_TOKEN"
    )
    phone_number: str = _option(
        "",
        "the account's senders, separated by commas; of a kind that is not named (numbers, short codes, names, "
        "whatsapp:, rcs:) any may send",
        env="TWILIO_PHONE_NUMBER",
    )
    inbound_url: str = _option("", "where inbound messages are posted")
    callback_connections: int = _option(64, "callbacks in flight at once", low=1)
    schedule_min_s: float = _option(900.0, "how far ahead SendAt must be at least; Twilio: 15 minutes")

    @property
    def auth_tokens(self) -> tuple[str, ...]:
        """The tokens that authenticate; the first one signs."""
        return _split(self.auth_token)

    @property
    def phone_numbers(self) -> tuple[str, ...]:
        """The senders of the account; for a kind that none is of, any sender is allowed."""
        return _split(self.phone_number)


ACCOUNT_STATUSES = ("active", "suspended", "closed")  # https://www.twilio.com/docs/iam/api/account


@dataclass(frozen=True, slots=True)
class Behaviour:
    """How Twilio behaves. Shares apply to messages whose last digits select no outcome."""

    seed: int = _option(0, "seed of chance: the same seed gives the same message the same fate")
    latency_ms: float = _option(0.0, "mean time until a create is answered")
    latency_jitter: float = _share("the latency by which it varies to either side")
    sent_ms: float = _option(150.0, "time from the create to `sent`")
    final_ms: float = _option(400.0, "time from the create to the final status")
    loss: float = _share("callbacks that are lost")
    duplicate: float = _share("callbacks that come twice")
    reorder: float = _share("messages whose callbacks come late and in random order")
    early: float = _share("messages whose callbacks come before the 201")
    p429: float = _share("creates refused with 429 and code 20429")
    p503: float = _share("creates refused with 503, not accepted")
    p_timeout: float = _share("creates accepted but never answered")
    p_reset: float = _share("creates accepted, then the connection closes")
    p_not_accepted_reset: float = _share("creates not accepted, the connection is reset")
    p_undelivered: float = _share("accepted messages that end undelivered")
    price_ms: float = _option(1000.0, "time from the final status until the message shows its price")
    account_status: str = _option("active", "what the account is: active, suspended or closed")
    advanced_opt_out: bool = _option(
        default=False, text="Messaging Services have Advanced Opt-Out: the webhook says `OptOutType`"
    )
    late_opt_outs: bool = _option(
        default=False, text="messages to those who said STOP are accepted, and fail with 21610 in a callback"
    )
    hide_list: bool = _option(
        default=False, text="do not list messages whose create was not answered properly"
    )

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            OptionError: when a value is out of range or unknown, or the create faults sum up to more than 1.
        """
        for item in fields(self):
            _check_range(item, getattr(self, item.name))
        if self.account_status not in ACCOUNT_STATUSES:
            raise OptionError(f"account_status must be one of {', '.join(ACCOUNT_STATUSES)}")
        if sum(self.create_faults) > 1:
            raise OptionError("p429, p503, p_timeout, p_reset and p_not_accepted_reset sum up to more than 1")

    @property
    def create_faults(self) -> tuple[float, float, float, float, float]:
        """The shares of creates that go wrong, in the order in which chance consults them."""
        return self.p429, self.p503, self.p_timeout, self.p_reset, self.p_not_accepted_reset

    @property
    def is_random(self) -> bool:
        """Whether any course is random."""
        quirks = (self.loss, self.duplicate, self.reorder, self.early, self.p_undelivered)
        return any(self.create_faults) or any(quirks)

    def changed(self, changes: Mapping[str, object]) -> Self:
        """Return this behaviour with some options changed, as given in JSON.

        Raises:
            OptionError: for an unknown name, a value of the wrong type or out of range.
        """
        known = {item.name: item for item in fields(self)}
        values = {}
        for name, value in changes.items():
            if name not in known:
                raise OptionError(f"no option is called {name!r}")
            values[name] = _from_json(known[name], value)
        return replace(self, **values)


def parse_options(
    arguments: list[str], environ: Mapping[str, str] = os.environ
) -> tuple[Settings, Behaviour]:
    """Return the options from the command line and the environment; exits with a usage message on invalid ones."""
    parser = argparse.ArgumentParser(prog="python -m simulator", description="A local Twilio for smsapp.")
    for item in (*fields(Settings), *fields(Behaviour)):
        _add_argument(parser, item, environ)
    given = vars(parser.parse_args(arguments))
    try:
        behaviour = Behaviour(**{item.name: given[item.name] for item in fields(Behaviour)})
        for item in fields(Settings):
            _check_range(item, given[item.name])
    except OptionError as error:
        parser.error(str(error))
    settings = Settings(**{item.name: given[item.name] for item in fields(Settings)})
    if not settings.auth_tokens:
        parser.error("--auth-token names no token")
    return settings, behaviour


def environment_name(item: Field[Any]) -> str:
    """Return the environment variable that sets an option."""
    return item.metadata["env"] or f"SIMULATOR_{item.name.upper()}"


def _add_argument(parser: argparse.ArgumentParser, item: Field[Any], environ: Mapping[str, str]) -> None:
    env = environment_name(item)
    is_flag = item.type is bool
    parser.add_argument(
        "--" + item.name.replace("_", "-"),
        default=environ.get(env) or item.default,
        type=_boolean if is_flag else _type_of(item),
        nargs="?" if is_flag else None,
        const=True if is_flag else None,
        help=f"{item.metadata['help']} (default {item.default!r}; {env})".replace("%", "%%"),
    )


def _type_of(item: Field[Any]) -> Callable[[str], Any]:
    assert isinstance(item.type, type)
    return item.type


def _boolean(text: str) -> bool:
    words = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}
    try:
        return words[text.lower()]
    except KeyError:
        raise argparse.ArgumentTypeError("must be true or false") from None


def _from_json(item: Field[Any], value: object) -> Any:
    if item.type is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not item.type:
        raise OptionError(f"{item.name} must be of type {_type_of(item).__name__}")
    return value


def _check_range(item: Field[Any], value: object) -> None:
    low, high = item.metadata["low"], item.metadata["high"]
    if isinstance(value, int | float) and not low <= value <= high:
        raise OptionError(f"{item.name} must be from {low} to {high}, not {value}")


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
