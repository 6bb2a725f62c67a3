"""Lanes, paces, turns and caps, through the running processes."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.e2e.conftest import Stacks
from tests.environment import SENDER
from tests.stack import DATABASES, Stack

POOL = ("+15005550011", "+15005550012")
PACE = 10.0


@pytest.fixture(params=DATABASES)
def stack(request: pytest.FixtureRequest, stacks: Stacks) -> Iterator[Stack]:
    """The running service; what a test changes in its settings is undone."""
    stack = stacks(request.param)
    before = dict(stack.process("worker-1").environment), dict(stack.process("web").environment)
    yield stack
    for name, environment in zip(("worker-1", "web"), before, strict=True):
        if stack.process(name).environment != environment:
            stack.process(name).environment = environment
            stack.restart(name)


def reconfigure(stack: Stack, name: str, **settings: str) -> None:
    """Restart a process with other settings."""
    stack.process(name).environment |= settings
    stack.restart(name)


def arrivals(stack: Stack, bodies: set[str]) -> dict[str, datetime]:
    """Return when Twilio got each text."""
    return {
        entry["body"]: datetime.fromisoformat(entry["created_at"])
        for entry in stack.ledger()
        if entry["body"] in bodies
    }


def test_every_priority_is_sent_and_shown(stack: Stack) -> None:
    sent = {
        priority: stack.post("+14155552671", f"priority {priority}", priority=priority)
        for priority in ("otp", "normal", "bulk")
    }

    shown = {priority: stack.message(answer["id"], wait_s=20) for priority, answer in sent.items()}

    assert {priority: message["priority"] for priority, message in shown.items()} == {
        "otp": "otp",
        "normal": "normal",
        "bulk": "bulk",
    }
    assert {message["outcome"] for message in shown.values()} == {"delivered"}


def test_an_unknown_priority_is_refused(stack: Stack) -> None:
    answer = stack.request("POST", "/sms/send", {"to": "+14155552671", "body": "x", "priority": "urgent"})

    assert (answer.status, [each["pointer"] for each in answer.json()["errors"]]) == (400, ["/priority"])


def test_a_paced_sender_keeps_its_pace_and_a_code_goes_first(stack: Stack) -> None:
    reconfigure(stack, "worker-1", SENDER_PACE=f"{SENDER}={PACE}")
    campaign = stack.send(40, priority="bulk")
    stack.wait_until(lambda: len(arrivals(stack, set(campaign.values()))) > 3)
    asked = datetime.now(UTC)
    code = stack.post("+14155552671", f"code {asked}", priority="otp")

    stack.wait_until_settled(campaign.keys() | {code["id"]})

    at = arrivals(stack, {*campaign.values(), code["body"]})
    times = sorted(at.values())
    assert len(times) == 41
    assert (times[-1] - times[0]).total_seconds() >= 40 / PACE * 0.93
    assert (at[code["body"]] - asked).total_seconds() < 1.0 < (times[-1] - asked).total_seconds()


def test_senders_share_the_work_and_each_recipient_keeps_its_own(stack: Stack) -> None:
    reconfigure(stack, "web", TWILIO_PHONE_NUMBER=",".join(POOL))
    numbers = [f"+1415555{number:04d}" for number in range(12)]

    twice = [[stack.post(number, f"{turn} {number}")["from"] for number in numbers] for turn in range(2)]

    assert twice[0] == twice[1]
    assert set(twice[0]) == set(POOL)


def test_what_is_over_a_cap_waits_with_a_reason_until_it_is_released(stack: Stack) -> None:
    settings = {"COUNTRY_CAPS": "FR=1"}
    reconfigure(stack, "worker-1", **settings)
    ids = [stack.post("+33612345678", f"bonjour {number}")["id"] for number in range(3)]
    stack.wait_until(lambda: sum(stack.message(each)["error"] is not None for each in ids) == 2)

    held = [stack.message(each) for each in ids if stack.message(each)["error"]]
    listed = stack.cli("held", "list", **settings).stdout
    released = stack.cli("held", "release", "--country", "FR", **settings).stdout

    assert {(message["status"], message["error"]["code"]) for message in held} == {("pending", 21)}
    assert "FR  country_cap  2" in listed
    assert released == "2 released\n"
    stack.wait_until_settled(set(ids))
    assert {stack.message(each)["outcome"] for each in ids} == {"delivered"}
