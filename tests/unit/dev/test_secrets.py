"""The credentials that the demo makes up once."""

import re
import stat
from pathlib import Path

from dev import secrets_file


def test_credentials_look_like_twilios_and_stay_the_same(tmp_path: Path) -> None:
    file = tmp_path / "dev.env"

    made = secrets_file.load_or_make(file)

    assert re.fullmatch(r"AC[0-9a-f]{32}", made["TWILIO_ACCOUNT_SID"])
    assert re.fullmatch(r"[0-9a-f]{32}", made["TWILIO_AUTH_TOKEN"])
    assert secrets_file.load_or_make(file) == made


def test_only_the_owner_can_read_them(tmp_path: Path) -> None:
    file = tmp_path / "dev.env"
    file.touch(mode=0o644)

    secrets_file.load_or_make(file)

    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_value_may_hold_an_equals_sign_and_comments_are_skipped(tmp_path: Path) -> None:
    file = tmp_path / "dev.env"
    secrets_file.save(file, {"DEMO_API_KEY": "sms_live_a=b=="})

    assert secrets_file.load(file) == {"DEMO_API_KEY": "sms_live_a=b=="}


def test_a_file_that_lacks_something_is_completed(tmp_path: Path) -> None:
    file = tmp_path / "dev.env"
    secrets_file.save(file, {"DEMO_API_KEY": "kept"})

    assert secrets_file.load_or_make(file).keys() > {"DEMO_API_KEY", "TWILIO_AUTH_TOKEN"}
    assert secrets_file.load(file)["DEMO_API_KEY"] == "kept"
