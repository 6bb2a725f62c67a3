"""No tracked file holds a key that looks alive."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent.parent
_LEAST_DISTINCT = 8
LIVE = {
    "Twilio account or key": r"\b(?:AC|SK)[0-9a-f]{32}\b",
    "Twilio token": r"(?i)auth_?token\W{1,5}[0-9a-f]{32}\b",
    "key of ours": r"\bsms_live_[\w-]{43}\b",
    "secret of a subscription": r"\bwhsec_[A-Za-z0-9+/=]{32,}",
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----\s+[A-Za-z0-9+/=]{40}",
    "AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,})",
    "Slack": r"\bxox[abprs]-[A-Za-z0-9-]{20,}",
    "Google": r"\bAIza[\w-]{35}\b",
    "password in a URL": r"\b(?:postgres(?:ql)?|rediss?|https?)://[^\s:/@'\"{}$<]*:(?=[^\s@'\"{}$<]*\d)[A-Za-z0-9_-]{16,}@",
}
PUBLIC = {
    "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",  # the bytes 0 to 23
    "9f8a7b6c5d4e3f2a1b0c9d8e7f6a5b4c",  # made up in tests/unit/test_production.py
    "AC0123456789abcdef0123456789abcdef",
    "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",  # of https://www.standardwebhooks.com
}
"""What only looks alive."""


def findings(text: str) -> list[tuple[str, str]]:
    """Return what in a text looks like a secret in use; examples repeat few characters."""
    found = [(kind, match[0]) for kind, pattern in LIVE.items() for match in re.finditer(pattern, text)]
    return [
        (kind, secret)
        for kind, secret in found
        if len(set(secret[-16:])) >= _LEAST_DISTINCT and not any(each in secret for each in PUBLIC)
    ]


def tracked() -> list[Path]:
    """Return the files that git knows."""
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this is no clone")
    return [ROOT / name.decode() for name in done.stdout.split(b"\0") if name]


def test_no_tracked_file_holds_a_secret() -> None:
    held = {}
    for path in tracked():
        if "static" in path.parts or not path.is_file():
            continue
        if found := findings(path.read_text("utf-8", "replace")):
            held[str(path.relative_to(ROOT))] = found

    assert held == {}


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("Twilio account or key", "AC" + "0f1e2d3c" * 4),
        ("Twilio token", "TWILIO_AUTH_TOKEN=" + "0f1e2d3c" * 4),
        ("key of ours", "sms_live_" + "aB3-xYz_9" * 4 + "1234567"),
        ("secret of a subscription", "whsec_" + "Q9r8GKYqrTwjUPD8ILPZIo2LaLaSwMfK"),
        ("private key", "-----BEGIN PRIVATE " + "KEY-----\n" + "MIIEvQIBADANBgkq" * 4),
        ("AWS", "AKIA" + "IOSFODNN7EXAMPLE"),
        ("GitHub", "ghp_" + "16C7e42F292c6912E7710c838347Ae178B4a"),
        ("password in a URL", "postgresql://app:" + "c1f4a9e07b3d5826" + "@db/sms"),
    ],
)
def test_one_would_be_found(kind: str, text: str) -> None:
    assert [found for found, _ in findings(f"x = '{text}'")] == [kind]


def test_nothing_that_is_to_stay_here_is_tracked() -> None:
    names = {path.relative_to(ROOT).as_posix() for path in tracked()}

    assert {name for name in names if name == ".env" or name.startswith(("secrets/", "var/"))} == set()
