"""Bring the demo's database up to date and make it an API key: `python -m dev.prepare`, in the demo's environment.

One process does both, since importing what they need takes longer than doing it. It prints a line after each: an empty
one, and the key.
"""

import sys
from datetime import UTC, datetime

from alembic import command

from smsapp.cli.database import alembic_config
from smsapp.config import load_settings
from smsapp.db.engine import make_sessions
from smsapp.keys import queries as api_keys


def main() -> None:
    """Prepare the database; with `--key`, make a key."""
    settings = load_settings()
    command.upgrade(alembic_config(settings), "head")
    print(flush=True)
    if sys.argv[1:] == ["--key"]:
        with make_sessions(settings.database_url, pool_size=1).begin() as session:
            secret = api_keys.issue(session, "demo", mode="live", now=datetime.now(UTC))
        print(secret, flush=True)


if __name__ == "__main__":
    main()
