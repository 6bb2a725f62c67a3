"""Generated requests against the live service: whatever is asked, it answers as the API document says.

What no schema can say of a request is in `tests/support/schema_limits.py`. For a longer look:
`make test-deep`, or `SCHEMATHESIS_EXAMPLES=100 python -m pytest tests/integration/test_schemathesis.py`.
"""

import json
import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from smsapp.ids import new_id
from smsapp.inbound import queries as inbound
from smsapp.inbound.rules import InboundText
from smsapp.twilio.callback import Callback
from tests.support.budget import DEEP, examples
from tests.support.stack import HOST, ROOT, Stack

EXAMPLES = int(os.environ.get("SCHEMATHESIS_EXAMPLES") or examples(5))
"""Random requests per operation and phase, besides those that follow from the document."""

SEED = random.SystemRandom().randrange(2**32) if DEEP else 1
MANY = 40
"""Far fewer requests per operation than there are; fewer mean that something kept them from being made."""

REACHED = {
    "events.feed", "inbound.index", "jobs.cancel", "jobs.create", "jobs.results", "jobs.show", "jobs.start",
    "messages.events", "messages.index", "messages.show", "sending.cancel", "sending.send", "subscriptions.change",
    "subscriptions.create", "subscriptions.delete", "subscriptions.rotate", "subscriptions.show",
    "subscriptions.test", "suppression_imports.take_over", "suppressions.add", "suppressions.export",
    "suppressions.lift", "suppressions.show", "templates.change", "templates.create", "templates.remove",
    "templates.show",
}  # fmt: skip
"""Endpoints that must have answered a request with success: a service that refused everything would pass, too.

Not Twilio's: unsigned requests are answered with 403, as the document says.
"""

_RUN = "from schemathesis.cli import schemathesis as run; run()"
_GENERATED = re.compile(r"(\d+) generated, (\d+) passed")


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    """A web process and nothing else, and one text that somebody sent."""
    with Stack(tmp_path, only={"web"}) as stack:
        receipt = Callback(new_id(), "inbound", None, "", None, datetime.now(UTC))
        with stack.sessions.begin() as session:
            text = InboundText("SM" + "1" * 32, "+14155552671", "+15005550006", None, "Hello", None, {})
            inbound.add(session, text, receipt=receipt)
        yield stack


def made_up(stack: Stack, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run Schemathesis over all operations."""
    return subprocess.run(
        [sys.executable, "-c", _RUN, "--config-file", str(ROOT / "tests" / "schemathesis.toml"), "run",
         str(ROOT / "openapi.json"), "--url", stack.url(), "--header", f"Authorization: Bearer {stack.api_key}",
         "--phases", "examples,coverage,fuzzing,stateful", "--max-examples", str(EXAMPLES), "--seed", str(SEED),
         "--generation-database", "none", "--no-color"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT), "NO_PROXY": HOST},
        capture_output=True,
        text=True,
        check=False,
        timeout=3600,
    )  # fmt: skip


def taken(stack: Stack) -> set[str]:
    """Return the endpoints that answered a request with success, by the service's own log."""
    lines = [
        json.loads(line) for log in stack.logs().values() for line in log.splitlines() if line[:1] == "{"
    ]
    answers = [line for line in lines if line["event"] == "request_answered" and line["method"] != "OPTIONS"]
    return {line["endpoint"] for line in answers if line["status"] < 300}


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_generated_requests_find_the_service_as_documented(stack: Stack, tmp_path: Path) -> None:
    document = json.loads((ROOT / "openapi.json").read_text("utf-8"))
    operations = sum(len(path) for path in document["paths"].values())

    done = made_up(stack, tmp_path)

    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2_000:]
    generated = _GENERATED.search(done.stdout)
    assert generated is not None
    assert generated[1] == generated[2]
    assert int(generated[1]) > MANY * operations
    assert taken(stack) >= REACHED
