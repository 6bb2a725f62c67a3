"""The environment of a demo, for commands that run beside it.

`make demo` writes it to `var/demo.env` and locks that file for as long as it runs. Commands that are started in the
same folder with no service configured use that demo: `python -m smsapp doctor` works with nothing else to set.
"""

import fcntl
import os
from collections.abc import MutableMapping
from pathlib import Path

FILE = Path("var") / "demo.env"
API_KEY = "SMSAPP_API_KEY"

_NAMES_A_SERVICE = ("APP_BASE_URL", "TWILIO_ACCOUNT_SID", "TWILIO_AUTH_TOKEN")
_NAMES_A_CALLER = (API_KEY, "SMSAPP_URL")


def running_demo() -> dict[str, str]:
    """Return the environment of the demo that runs in the current folder, or an empty one.

    A file left behind by a killed demo is ignored: nothing holds its lock.
    """
    try:
        with FILE.open() as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return parse(file.read())
    except OSError:
        pass
    return {}


def join_demo(environ: MutableMapping[str, str] = os.environ) -> bool:
    """Adopt the environment of the demo that runs in the current folder, and return whether there was one to adopt.

    Does nothing where a service is configured already, by a `.env` file or a required variable: an operator of a real
    service must not reach a demo by mistake, nor the other way round.
    """
    if any(environ.get(name) for name in _NAMES_A_SERVICE) or Path(".env").exists():
        return False
    demo = running_demo()
    if any(environ.get(name) for name in _NAMES_A_CALLER):
        demo.pop(API_KEY, None)  # a key that is set already belongs to another service
    environ.update(demo)
    return bool(demo)


def parse(text: str) -> dict[str, str]:
    """Return the names and values of lines such as NAME=value; comments are skipped."""
    pairs = [line.partition("=") for line in text.splitlines() if not line.startswith("#")]
    return {name: value for name, equals, value in pairs if equals}
