"""Every row of the table of outcomes, as the client, the callbacks, the list and the ledger see it."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from simulator.course import Quirk
from simulator.options import ACCOUNT_SID, AUTH_TOKEN
from simulator.outcomes import OUTCOMES, Outcome
from simulator.process import SimulatorProcess, running_simulator
from simulator.receiver import Received, Receiver, running_receiver

SENDER = "+15550109999"
GIVEN = "201"
IMPATIENT_S = 0.3
IN_TURN = frozenset(
    {Quirk.EARLY, Quirk.FORGED, Quirk.REVERSED}
)  # otherwise callbacks may overtake each other


@dataclass(frozen=True, slots=True)
class Seen:
    """What is to be seen of one outcome: each create until it is accepted, then the callbacks."""

    creates: tuple[str, ...] = (GIVEN,)
    callbacks: tuple[str, ...] = ("sent", "delivered")
    ledger: tuple[str, ...] = ("delivered", "delivered")
    status: str | None = "delivered"
    listed: bool = True


SEEN = {
    "delivered": Seen(),
    "concurrency-exceeded": Seen(creates=("429/20429", "429/20429", GIVEN)),
    "sender-queue-full": Seen(creates=("429/21611", "429/21611", GIVEN)),
    "unavailable": Seen(creates=("503/20503", "503/20503", GIVEN)),
    "server-error": Seen(creates=("500/20500",)),
    "answer-dropped": Seen(creates=("closed",)),
    "answer-withheld": Seen(creates=("no answer",)),
    "callbacks-lost": Seen(callbacks=(), ledger=("lost", "lost")),
    "callbacks-twice": Seen(
        callbacks=("sent", "sent", "delivered", "delivered"),
        ledger=("delivered", "duplicate", "delivered", "duplicate"),
    ),
    "callbacks-reversed": Seen(callbacks=("delivered", "sent")),
    "callbacks-early": Seen(),
    "stuck-in-sent": Seen(callbacks=("sent",), ledger=("delivered",), status="sent"),
    "answer-unreadable": Seen(creates=("unreadable",)),
    "corrected": Seen(callbacks=("sent", "undelivered", "delivered"), ledger=("delivered",) * 3),
    "only-listed": Seen(creates=("closed",), callbacks=(), ledger=("lost", "lost")),
    "unknowable": Seen(creates=("closed",), callbacks=(), ledger=("lost", "lost"), listed=False),
    "reset-before-accepting": Seen(creates=("reset", "reset", GIVEN)),
    "callback-forged": Seen(
        callbacks=("failed", "sent", "delivered"), ledger=("forged", "delivered", "delivered")
    ),
    "in-parts": Seen(callbacks=("sent", "partially_delivered", "delivered"), ledger=("delivered",) * 3),
    "stuck-in-parts": Seen(callbacks=("sent", "partially_delivered"), status="partially_delivered"),
    "unknown-status": Seen(callbacks=("sent", "handed_over", "delivered"), ledger=("delivered",) * 3),
}


def expected(outcome: Outcome) -> Seen:
    """Return what is to be seen; the rows for plain error codes follow from their names."""
    kind, code = outcome.name.rsplit("-", 1) if outcome.error_code else (outcome.name, "")
    match kind:
        case "undelivered":
            return Seen(callbacks=("sent", "undelivered"), status="undelivered")
        case "failed":
            return Seen(callbacks=("failed",), ledger=("delivered",), status="failed")
        case "refused":
            http_status = "401" if code == "20003" else "400"
            return Seen(creates=(f"{http_status}/{code}",), callbacks=(), ledger=(), status=None)
        case _:
            return SEEN[outcome.name]


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorProcess]:
    with running_simulator(sent_ms=20, final_ms=60) as running:
        yield running


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def client(sim: SimulatorProcess) -> Iterator[Client]:
    http_client = TwilioHttpClient(timeout=5)
    client = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http_client)
    client.api.base_url = sim.url
    yield client
    http_client.session.close()


def create(client: Client, to: str, callback_url: str) -> str:
    """Create a message and return what the client got to know about it."""
    try:
        client.messages.create(to=to, from_=SENDER, body="Hello", status_callback=callback_url)
    except TwilioRestException as error:
        return f"{error.status}/{error.code}"
    except requests.ReadTimeout:
        return "no answer"
    except requests.ConnectionError as error:
        return "reset" if "reset by peer" in str(error) else "closed"
    except json.JSONDecodeError:
        return "unreadable"
    return GIVEN


def is_signed(callback: Received, receiver: Receiver) -> bool:
    url = receiver.url + callback.target
    valid = RequestValidator(AUTH_TOKEN).validate(
        url, callback.params, callback.headers["X-Twilio-Signature"]
    )
    assert isinstance(valid, bool)
    return valid


@pytest.mark.parametrize("outcome", OUTCOMES, ids=lambda outcome: outcome.name)
def test_outcome(sim: SimulatorProcess, receiver: Receiver, client: Client, outcome: Outcome) -> None:
    seen = expected(outcome)
    to = f"+155501{outcome.digits or '00000'}"
    if outcome.name == "answer-withheld":
        client.http_client.timeout = IMPATIENT_S

    creates = tuple(create(client, to, f"{receiver.url}/status/7#rc=2") for _ in seen.creates)
    answered_at = time.monotonic()
    sim.wait_until_idle()

    callbacks = receiver.of(to)
    messages = sim.ledger(to=to)["messages"]
    assert creates == seen.creates
    in_order = list if outcome.course.quirks & IN_TURN else sorted
    words = [callback.params["MessageStatus"] for callback in callbacks]
    records = [record["outcome"] for message in messages for record in message["callbacks"]]
    assert in_order(words) == in_order(seen.callbacks)
    assert in_order(records) == in_order(seen.ledger)
    assert [message["status"] for message in messages] == ([seen.status] if seen.status else [])
    for message in messages:
        assert message["answer"] == ("given" if creates[-1] == GIVEN else "hidden")
        assert message["listed"] is seen.listed
        assert message["error_code"] == outcome.error_code
    listed = client.messages.list(to=to)
    assert [message.status for message in listed] == ([seen.status] if seen.status and seen.listed else [])
    for callback in callbacks:
        is_lie = outcome.name == "callback-forged" and callback.params["MessageStatus"] == "failed"
        assert is_signed(callback, receiver) is not is_lie
    if outcome.name == "callbacks-early":
        assert all(callback.at < answered_at for callback in callbacks)


def test_retry_after_comes_with_20429_alone(client: Client) -> None:
    answers = {}
    for digits in ("20429", "21611"):
        form = {"To": f"+155502{digits}", "From": SENDER, "Body": "Hello"}
        url = f"{client.api.base_url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages.json"
        answers[digits] = requests.post(url, form, auth=(ACCOUNT_SID, AUTH_TOKEN), timeout=5)

    assert {digits: answer.headers.get("Retry-After") for digits, answer in answers.items()} == {
        "20429": "1",
        "21611": None,
    }


def test_magic_recipients_go_before_digits(client: Client, receiver: Receiver) -> None:
    assert create(client, "+15005550004", receiver.url) == "400/21610"
