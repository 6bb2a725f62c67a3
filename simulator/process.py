"""Run the simulator as a process of its own, for tests and load runs."""

import http.client
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

STOP_S = 5.0
PROJECT = Path(__file__).resolve().parent.parent


class SimulatorError(Exception):
    """The simulator did not start, or refused a request."""


@dataclass(slots=True)
class SimulatorProcess:
    """A running simulator and its own endpoints."""

    url: str
    process: subprocess.Popen[str]

    def ledger(self, **query: object) -> dict[str, Any]:
        """Return the ledger, narrowed by `to`, `after` or `limit`."""
        return self.call("GET", "/ledger?" + urlencode(query))

    def summary(self) -> dict[str, Any]:
        """Return the counts."""
        return self.ledger(summary=1)

    def configure(self, **changes: object) -> dict[str, Any]:
        """Change options; returns all of them."""
        return self.call("POST", "/_config", changes)

    def reset(self) -> None:
        """Forget all messages, counts and opt-outs."""
        self.call("POST", "/_reset")

    def receive(self, payload: Mapping[str, object]) -> dict[str, Any]:
        """Have a phone write to the account; returns what the webhook answered."""
        return self.call("POST", "/_inbound", payload)

    def wait_until_idle(self, timeout_s: float = 15.0) -> dict[str, Any]:
        """Return the counts once every callback is done.

        Raises:
            SimulatorError: when that takes longer than `timeout_s`.
        """
        counts = self.call("GET", f"/_idle?timeout_s={timeout_s}", timeout_s=timeout_s + 5)
        if not counts["idle"]:
            raise SimulatorError(f"not idle after {timeout_s} s: {counts}")
        return counts

    def call(
        self, method: str, path: str, payload: Mapping[str, object] | None = None, *, timeout_s: float = 20.0
    ) -> dict[str, Any]:
        """Call an endpoint of the simulator's own and return its JSON.

        Raises:
            SimulatorError: when the answer is not a 200.
        """
        return call(self.url, method, path, payload, timeout_s=timeout_s)


def call(
    url: str,
    method: str,
    path: str,
    payload: Mapping[str, object] | None = None,
    *,
    timeout_s: float = 20.0,
) -> dict[str, Any]:
    """Call one of the own endpoints of the simulator at `url` and return its JSON.

    Raises:
        SimulatorError: when the answer is not a 200.
        OSError: when there is none.
    """
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=timeout_s)
    try:
        connection.request(method, path, None if payload is None else json.dumps(payload))
        response = connection.getresponse()
        answer: dict[str, Any] = json.loads(response.read())
    finally:
        connection.close()
    if response.status != 200:
        raise SimulatorError(f"{method} {path}: {response.status} {answer}")
    return answer


@contextmanager
def running_simulator(**options: object) -> Iterator[SimulatorProcess]:
    """Run a simulator on a free port with these options (names as in `POST /_config`) and nothing inherited.

    Raises:
        SimulatorError: when it does not come up; what it said is on stderr.
    """
    arguments = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    environ = {k: v for k, v in os.environ.items() if not k.startswith(("SIMULATOR_", "TWILIO_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "simulator", "--port=0", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=PROJECT,
        env=environ,
    )
    with process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            if not line.startswith("simulator ready on "):
                raise SimulatorError(f"the simulator did not start; it said {line!r}")
            yield SimulatorProcess(line.split()[-1], process)
        finally:
            process.terminate()
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
