"""A phone that writes to the account: `python -m simulator inbound STOP`, beside a running simulator."""

import argparse
import os
import sys
from typing import Any

from simulator.drafts import MAGIC_SENDER
from simulator.process import SimulatorError, call
from smsapp.cli.demo import join_demo

PHONE = "+15005550123"
"""The recipient of the demo's own message."""


def main(arguments: list[str]) -> int:
    """Have a phone write, print the result, and return 0 if the webhook accepted it."""
    join_demo()  # before the defaults are computed: a running demo provides them
    options = parser().parse_args(arguments)
    payload = {"from": options.from_, "to": options.to, "body": options.body, "url": options.url}
    payload["media"] = [{"content_type": content_type} for content_type in options.media]
    try:
        answer = call(options.simulator, "POST", "/_inbound", payload)
    except (OSError, SimulatorError) as error:
        sys.stderr.write(f"{options.simulator}: {error}\n")
        return 1
    for line in tell(answer, options.from_, options.to):
        sys.stdout.write(f"{line}\n")
    return 0 if 200 <= (answer["status"] or 0) < 300 else 1


def parser() -> argparse.ArgumentParser:
    """Return the command line; its defaults are the environment's."""
    senders = [sender.strip() for sender in os.environ.get("TWILIO_PHONE_NUMBER", "").split(",")]
    here = f"http://127.0.0.1:{os.environ.get('SIMULATOR_PORT') or 8900}"
    made = argparse.ArgumentParser(
        prog="python -m simulator inbound", description="Have a phone write to the simulated account."
    )
    made.add_argument("body", nargs="?", default="", help="the text; none with --media")
    made.add_argument("--from", dest="from_", default=PHONE, help=f"who writes (default {PHONE})")
    made.add_argument(
        "--to", default=senders[0] or MAGIC_SENDER, help="to which sender (default: the account's first)"
    )
    made.add_argument("--media", action="append", default=[], metavar="TYPE", help="a picture: image/png")
    made.add_argument("--url", default="", help="the webhook (default: the simulator's --inbound-url)")
    made.add_argument(
        "--simulator", default=here, help="where it is (default: the demo's, else SIMULATOR_PORT)"
    )
    return made


def tell(answer: dict[str, Any], from_: str, to: str) -> list[str]:
    """Return the result in readable form."""
    status = answer["status"]
    if not answer["attempts"]:
        took = "nobody was told: the simulator has no --inbound-url"
    else:
        took = f"the webhook answered {status}" if status else "the webhook did not answer"
    lines = [f"{answer['message_sid']} from {from_} to {to}: {took}"]
    if answer["reply"]:
        lines.append(f"Twilio itself replied: {answer['reply']}")
    return lines
