"""Chance: the same seed meets the same messages with the same faults, and the ledger adds up."""

import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import requests

from simulator.options import ACCOUNT_SID, AUTH_TOKEN
from simulator.process import SimulatorProcess, running_simulator
from simulator.receiver import Receiver, running_receiver

SENDER = "+15550109999"
CALM = {
    "seed": 0,
    "latency_ms": 0.0,
    "latency_jitter": 0.0,
    "loss": 0.0,
    "duplicate": 0.0,
    "reorder": 0.0,
    "early": 0.0,
    "p429": 0.0,
    "p503": 0.0,
    "p_timeout": 0.0,
    "p_reset": 0.0,
    "p_not_accepted_reset": 0.0,
    "p_undelivered": 0.0,
    "hide_list": False,
}
STORM = {
    "seed": 11,
    "loss": 0.2,
    "duplicate": 0.2,
    "reorder": 0.3,
    "early": 0.2,
    "p429": 0.1,
    "p503": 0.1,
    "p_reset": 0.2,
    "p_not_accepted_reset": 0.1,
    "p_undelivered": 0.3,
}


@pytest.fixture(scope="module")
def process() -> Iterator[SimulatorProcess]:
    with running_simulator(sent_ms=2, final_ms=4) as running:
        yield running


@pytest.fixture
def sim(process: SimulatorProcess) -> SimulatorProcess:
    process.reset()
    process.configure(**CALM)
    return process


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


def create(sim: SimulatorProcess, receiver: Receiver, number: int, timeout_s: float = 5.0) -> str:
    """Create a message and return what became of the request."""
    form = {
        "To": f"+1555041{number:04d}",
        "From": SENDER,
        "Body": f"Message {number}",
        "StatusCallback": receiver.url,
    }
    url = f"{sim.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
    try:
        return str(requests.post(url, form, auth=(ACCOUNT_SID, AUTH_TOKEN), timeout=timeout_s).status_code)
    except requests.ReadTimeout:
        return "no answer"
    except requests.ConnectionError:
        return "dropped"


def create_all(sim: SimulatorProcess, receiver: Receiver, numbers: Sequence[int], threads: int) -> list[str]:
    with ThreadPoolExecutor(threads) as pool:
        answers = list(pool.map(lambda number: create(sim, receiver, number), numbers))
    sim.wait_until_idle()
    return answers


def fates(ledger: dict[str, Any]) -> dict[str, object]:
    """Return what became of each message, without what differs from run to run: SIDs, times, order."""
    return {
        message["to"]: (
            message["status"],
            message["answer"],
            sorted((record["status"], record["outcome"]) for record in message["callbacks"]),
        )
        for message in ledger["messages"]
    }


def test_the_same_seed_brings_the_same_faults_whatever_the_order(
    sim: SimulatorProcess, receiver: Receiver
) -> None:
    sim.configure(**STORM)
    first_answers = create_all(sim, receiver, range(80), threads=1)
    first = sim.ledger()
    sim.reset()

    second_answers = create_all(sim, receiver, range(79, -1, -1), threads=4)
    second = sim.ledger()
    sim.reset()
    sim.configure(seed=12)
    create_all(sim, receiver, range(80), threads=4)

    assert first_answers == second_answers[::-1]
    assert first["refused"] == second["refused"]
    assert fates(first) == fates(second) != fates(sim.ledger())
    assert {"201", "429", "503", "dropped"} == set(first_answers)


def test_the_counts_of_a_storm_add_up(sim: SimulatorProcess, receiver: Receiver) -> None:
    sim.configure(**STORM)
    before = len(receiver.received)
    answers = create_all(sim, receiver, range(100), threads=4)

    counts, messages = sim.summary(), sim.ledger()["messages"]

    assert counts["accepted"] == len(messages)
    assert counts["accepted"] + sum(counts["refused"].values()) == 100
    assert counts["accepted"] - counts["answers_hidden"] == answers.count("201")
    assert counts["refused"]["20429"] == answers.count("429")
    assert counts["refused"]["20503"] == answers.count("503")
    assert counts["refused"]["reset"] + counts["answers_hidden"] == answers.count("dropped")
    assert counts["callbacks_sent"] == counts["callbacks_acked"] == len(receiver.received) - before
    outcomes = [record["outcome"] for message in messages for record in message["callbacks"]]
    assert counts["callbacks_lost"] == outcomes.count("lost") > 0
    assert outcomes.count("duplicate") > 0
    assert set(counts["statuses"]) == {"delivered", "undelivered"}
    assert (counts["callbacks_pending"], counts["concurrent"]) == (0, 0)


def test_an_answer_can_be_withheld_and_the_message_hidden(sim: SimulatorProcess, receiver: Receiver) -> None:
    sim.configure(p_timeout=1, hide_list=True)

    assert create(sim, receiver, 1, timeout_s=0.2) == "no answer"

    [message] = sim.ledger()["messages"]
    assert (message["answer"], message["listed"], message["outcome"]) == ("hidden", False, "random")
    assert sim.wait_until_idle()["callbacks_acked"] == 2


def test_early_callbacks_come_before_the_answer(sim: SimulatorProcess, receiver: Receiver) -> None:
    sim.configure(early=1)

    assert create(sim, receiver, 2) == "201"
    assert sim.summary()["callbacks_acked"] == 2


def test_a_create_takes_its_latency(sim: SimulatorProcess, receiver: Receiver) -> None:
    sim.configure(latency_ms=60, latency_jitter=0.5)
    began = time.monotonic()

    assert create(sim, receiver, 3) == "201"

    assert time.monotonic() - began >= 0.03


def test_named_outcomes_are_left_alone_by_chance(sim: SimulatorProcess, receiver: Receiver) -> None:
    sim.configure(p503=1)

    assert create(sim, receiver, 4) == "503"
    answer = requests.post(
        f"{sim.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json",
        {"To": "+15550490007", "From": SENDER, "Body": "Hello"},
        auth=(ACCOUNT_SID, AUTH_TOKEN),
        timeout=5,
    )
    assert answer.status_code == 201


def test_concurrent_requests_are_counted(
    sim: SimulatorProcess, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The creates are answered after their callbacks, and these only once there are six of them."""
    sim.configure(early=1)
    everyone = threading.Barrier(6)
    monkeypatch.setattr(receiver, "answer", lambda _: 204 if everyone.wait(4) >= 0 else 500)

    create_all(sim, receiver, range(6), threads=6)

    assert sim.summary()["peak_concurrent"] == 6
