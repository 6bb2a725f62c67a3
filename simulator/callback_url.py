"""The StatusCallback URL and the connection overrides in its fragment.

https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
"""

from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import parse_qsl, urldefrag

from yarl import URL

from simulator.signature import url_to_sign

CONNECT_MS = (100, 10_000, 5_000)  # lowest, highest, default
READ_MS = (100, 15_000, 15_000)
TOTAL_MS = (100, 15_000, 15_000)
MAX_RETRIES = 5


@dataclass(frozen=True, slots=True)
class Overrides:
    """How a callback is posted. `policy` names the failures that are retried: 4xx, 5xx, ct, rt or all."""

    retries: int = 1
    policy: frozenset[str] = frozenset({"ct"})
    connect_s: float = CONNECT_MS[2] / 1000
    read_s: float = READ_MS[2] / 1000
    total_s: float = TOTAL_MS[2] / 1000

    def retried(self, failure: str) -> bool:
        """Return whether a failure of this kind is worth another attempt."""
        return failure in self.policy or "all" in self.policy


@dataclass(frozen=True, slots=True)
class CallbackTarget:
    """Where a message's callbacks go: the address, the URL that is signed, and how to connect."""

    url: URL
    signed_url: str
    overrides: Overrides


def parse_target(status_callback: str) -> CallbackTarget:
    """Return the target of a StatusCallback; the fragment is neither sent nor signed."""
    address, fragment = urldefrag(status_callback)
    return CallbackTarget(URL(address, encoded=True), url_to_sign(address), parse_overrides(fragment))


@lru_cache(maxsize=256)
def parse_overrides(fragment: str) -> Overrides:
    """Return the overrides of a fragment such as `rc=2&rp=ct,5xx&ct=1500`; invalid values are ignored.

    Twilio reports such values in its debugger and falls back on the defaults.
    """
    given = dict(parse_qsl(fragment))
    default = Overrides()
    policy = frozenset(given.get("rp", "").split(",")) & {"4xx", "5xx", "ct", "rt", "all"}
    retries = given.get("rc", "")
    return Overrides(
        retries=int(retries) if retries.isdecimal() and int(retries) <= MAX_RETRIES else default.retries,
        policy=policy or default.policy,
        connect_s=_seconds(given.get("ct", ""), CONNECT_MS),
        read_s=_seconds(given.get("rt", ""), READ_MS),
        total_s=_seconds(given.get("tt", ""), TOTAL_MS),
    )


def _seconds(text: str, limits: tuple[int, int, int]) -> float:
    low, high, default = limits
    return (int(text) if text.isdecimal() and low <= int(text) <= high else default) / 1000
