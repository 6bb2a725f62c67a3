"""One running service per database for the whole run: real processes, a simulated Twilio, short spans."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.support.certificates import Authority
from tests.support.stack import DATABASES, Database, Stack, Stacks


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """The authority whose certificates the running service trusts."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def stacks(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[Stacks]:
    """Give the running service on a database, started when it is first asked for."""
    running: dict[Database, Stack] = {}
    environment = {"PUSH_TIMEOUT": "6s", "JOB_WINDOW": "200", "SSL_CERT_FILE": str(authority.file)}
    with ExitStack() as cleanup:

        def stack_on(database: Database) -> Stack:
            if database not in running:
                folder = tmp_path_factory.mktemp(f"e2e_{database}_", numbered=True)
                running[database] = cleanup.enter_context(
                    Stack(folder, database=database, environment=environment)
                )
            return running[database]

        yield stack_on


@pytest.fixture(params=DATABASES)
def stack(request: pytest.FixtureRequest, stacks: Stacks) -> Stack:
    """The running service; the test runs once on each database and leaves everything running."""
    return stacks(request.param)
