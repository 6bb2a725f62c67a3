"""Twilio's published signature vectors and sample callbacks, from tests/data/twilio-vectors.json."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

_DATA: dict[str, Any] = json.loads((Path(__file__).parents[1] / "data" / "twilio-vectors.json").read_text())

VECTORS: list[dict[str, Any]] = _DATA["vectors"]
CALLBACK_SAMPLES: list[dict[str, Any]] = _DATA["callback_samples"]
OBSERVED_HEADERS: dict[str, str] = _DATA["request_headers_observed"]["headers"]
TOKEN = "0" * 32
"""The auth token that signs the samples."""


def pairs(params: dict[str, str] | list[list[str]]) -> list[tuple[str, str]]:
    """Return a vector's parameters as a form."""
    return list(params.items()) if isinstance(params, dict) else [(name, value) for name, value in params]


def split_url(url: str) -> tuple[str, str]:
    """Return the base URL and the request target."""
    parts = urlsplit(url)
    base = f"{parts.scheme}://{parts.netloc}"
    return base, url.removeprefix(base)


def body_of(sample: dict[str, Any]) -> str:
    """Return the form as Twilio would send it."""
    return urlencode(sample["params"])
