"""var/dev.env: credentials that the demo makes up once, for the simulated Twilio account."""

import os
import secrets
from pathlib import Path

_HEADER = "# Made by `make demo` for its simulated Twilio account. Remove with `make reset`.\n"


def load(file: Path) -> dict[str, str]:
    """Return the names and values in the file; none if it does not exist."""
    if not file.exists():
        return {}
    pairs = [line.partition("=") for line in file.read_text().splitlines() if not line.startswith("#")]
    return {name: value for name, equals, value in pairs if equals}


def save(file: Path, values: dict[str, str]) -> None:
    """Write the file so that only its owner can read it, and never half of it."""
    draft = file.with_suffix(".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(_HEADER + "".join(f"{name}={value}\n" for name, value in values.items()))
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
