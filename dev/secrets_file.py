"""Files of the demo that hold secrets: var/dev.env has the credentials that it makes up once."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from smsapp.cli.demo import parse

_HEADER = "# Made by `make demo` for its simulated Twilio account. Remove with `make reset`."


def load(file: Path) -> dict[str, str]:
    """Return the names and values in the file; none if it does not exist."""
    return parse(file.read_text()) if file.exists() else {}


def save(file: Path, values: Mapping[str, str], header: str = _HEADER) -> None:
    """Write the file so that only its owner can read it, and never half of it."""
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(f"{header}\n" + "".join(f"{name}={value}\n" for name, value in values.items()))
    draft.replace(file)


def load_or_make(file: Path) -> dict[str, str]:
    """Return the demo's credentials, the same ones on every call."""
    fresh = {
        "TWILIO_ACCOUNT_SID": "AC" + secrets.token_hex(16),
        "TWILIO_AUTH_TOKEN": secrets.token_hex(16),
        "TWILIO_PHONE_NUMBER": "+15005550006",  # the sender that Twilio's own test credentials accept
    }
    stored = load(file)
    values = {**fresh, **stored}
    if values != stored:
        save(file, values)
    return values
