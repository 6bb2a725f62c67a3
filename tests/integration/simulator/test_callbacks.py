"""Callbacks as a receiver sees them, and inbound messages."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from itertools import count

import pytest
import requests
from twilio.base.exceptions import TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.request_validator import RequestValidator
from twilio.rest import Client

from simulator.options import ACCOUNT_SID, AUTH_TOKEN
from simulator.process import PROJECT, SimulatorError, SimulatorProcess, running_simulator
from simulator.receiver import Received, Receiver, running_receiver

SENDER = "+15550109999"
SERVICE = "MG" + "1" * 32
numbers = (f"+1555031{n:04d}" for n in count())


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorProcess]:
    with running_simulator(sent_ms=4, final_ms=8, phone_number=SENDER) as running:
        yield running


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def to() -> str:
    return next(numbers)


@pytest.fixture
def client(sim: SimulatorProcess) -> Iterator[Client]:
    http_client = TwilioHttpClient(timeout=5)
    client = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http_client)
    client.api.base_url = sim.url
    yield client
    http_client.session.close()


def send(client: Client, to: str, callback_url: str, **options: str) -> str:
    sender = options or {"from_": SENDER}
    sid = client.messages.create(to=to, body="Hello", status_callback=callback_url, **sender).sid
    assert sid is not None
    return sid


def records(sim: SimulatorProcess, to: str) -> list[tuple[str, int | None, int]]:
    [message] = sim.ledger(to=to)["messages"]
    return [(record["outcome"], record["http_status"], record["attempts"]) for record in message["callbacks"]]


def is_signed(received: Received, url: str) -> bool:
    signature = received.headers["X-Twilio-Signature"]
    valid = RequestValidator(AUTH_TOKEN).validate(url + received.target, received.params, signature)
    assert isinstance(valid, bool)
    return valid


def test_a_callback_is_what_twilio_sends(client: Client, receiver: Receiver, to: str) -> None:
    sid = send(client, to, f"{receiver.url}/status/a%2Fb?x=%7E1#rc=2&rp=ct")

    callbacks = {callback.params["MessageStatus"]: callback for callback in receiver.wait_for(2, to=to)}
    sent, delivered = callbacks["sent"], callbacks["delivered"]

    common = {
        "AccountSid": ACCOUNT_SID,
        "ApiVersion": "2010-04-01",
        "From": SENDER,
        "To": to,
        "MessageSid": sid,
        "SmsSid": sid,
    }
    assert sent.params == common | {"MessageStatus": "sent", "SmsStatus": "sent"}
    date = delivered.params.pop("RawDlrDoneDate")
    assert len(date) == 10
    assert delivered.params == common | {"MessageStatus": "delivered", "SmsStatus": "delivered"}
    assert sent.target == "/status/a%2Fb?x=%7E1"
    assert {
        name: sent.headers[name] for name in ("User-Agent", "Accept", "Content-Type", "X-Home-Region")
    } == {
        "User-Agent": "TwilioProxy/1.1",
        "Accept": "*/*",
        "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
        "X-Home-Region": "us1",
    }
    assert is_signed(sent, receiver.url)
    assert sent.headers["I-Twilio-Idempotency-Token"] != delivered.headers["I-Twilio-Idempotency-Token"]


def test_a_service_calls_back_queued_and_names_itself(client: Client, receiver: Receiver, to: str) -> None:
    send(client, to, receiver.url, messaging_service_sid=SERVICE)

    callbacks = receiver.wait_for(3, to=to)

    assert {callback.params["MessageStatus"] for callback in callbacks} == {"queued", "sent", "delivered"}
    assert {callback.params["MessagingServiceSid"] for callback in callbacks} == {SERVICE}
    assert {callback.params["From"] for callback in callbacks} == {SENDER}


def test_an_error_code_comes_with_undelivered(client: Client, receiver: Receiver) -> None:
    to = "+15550330005"

    send(client, to, receiver.url)

    callbacks = receiver.wait_for(2, to=to)
    codes = {callback.params["MessageStatus"]: callback.params.get("ErrorCode") for callback in callbacks}
    assert codes == {"sent": None, "undelivered": "30005"}


def test_without_a_callback_url_nothing_is_called_back(
    sim: SimulatorProcess, client: Client, receiver: Receiver, to: str
) -> None:
    client.messages.create(to=to, from_=SENDER, body="Hello")
    sim.wait_until_idle()

    assert (receiver.received, records(sim, to)) == ([], [])


def test_a_500_is_not_retried_by_default(
    sim: SimulatorProcess, client: Client, receiver: Receiver, to: str
) -> None:
    receiver.answer = lambda _: 500

    send(client, to, receiver.url)
    sim.wait_until_idle()

    assert records(sim, to) == [("refused", 500, 1)] * 2


def test_retries_asked_for_carry_the_same_idempotency_token(
    sim: SimulatorProcess, client: Client, receiver: Receiver
) -> None:
    to = "+15550390007"  # one callback and no more
    receiver.answer = lambda _: 503 if len(receiver.received) < 3 else 204

    send(client, to, f"{receiver.url}#rc=2&rp=5xx")
    sim.wait_until_idle()

    tokens = [callback.headers["I-Twilio-Idempotency-Token"] for callback in receiver.received]
    assert (len(tokens), len(set(tokens))) == (3, 1)
    assert records(sim, to) == [("delivered", 204, 3)]


def test_a_slow_answer_is_given_up(
    sim: SimulatorProcess, client: Client, receiver: Receiver, to: str
) -> None:
    over = threading.Event()
    receiver.answer = lambda _: 204 if over.wait(10) else 500

    send(client, to, f"{receiver.url}#rc=1&rp=rt&rt=100")
    sim.wait_until_idle()
    over.set()

    assert records(sim, to) == [("unreachable", None, 2)] * 2


def test_all_attempts_share_the_total_time(
    sim: SimulatorProcess, client: Client, receiver: Receiver, to: str
) -> None:
    over = threading.Event()
    receiver.answer = lambda _: 204 if over.wait(10) else 500

    send(client, to, f"{receiver.url}#rc=5&rp=all&rt=15000&tt=150")
    sim.wait_until_idle()
    over.set()

    assert records(sim, to) == [("unreachable", None, 1)] * 2


def test_a_refused_connection_is_tried_once_more(sim: SimulatorProcess, client: Client, to: str) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]

    send(client, to, f"http://127.0.0.1:{port}/")
    sim.wait_until_idle()

    assert records(sim, to) == [("unreachable", None, 2)] * 2


def test_an_idle_connection_that_died_is_replaced_without_counting(
    sim: SimulatorProcess, client: Client
) -> None:
    """Callbacks share connections, which Twilio's do not: that must not cost smsapp one."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server, ThreadPoolExecutor(1) as pool:
        server.settimeout(5)
        requests_served = pool.submit(serve_dying_connections, server)
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        for to in ("+15550490007", "+15550590007"):  # one callback each
            send(client, to, f"{url}#rc=0")
            sim.wait_until_idle()

        assert requests_served.result(5) == 3
    assert records(sim, "+15550490007") == records(sim, "+15550590007") == [("delivered", 204, 1)]


def serve_dying_connections(server: socket.socket) -> int:
    """Answer one request, close the connection upon the next, answer that on a new one; return how many came."""
    answer = b"HTTP/1.1 204 No Content\r\n\r\n"
    with server.accept()[0] as first:
        assert first.recv(65536)
        first.sendall(answer)
        assert first.recv(65536)
    with server.accept()[0] as second:
        assert second.recv(65536)
        second.sendall(answer)
    return 3


def test_redirects_are_not_followed(
    sim: SimulatorProcess, client: Client, receiver: Receiver, to: str
) -> None:
    receiver.answer = lambda _: 302

    send(client, to, receiver.url)
    sim.wait_until_idle()

    assert records(sim, to) == [("refused", 302, 1)] * 2


def test_an_inbound_message_is_posted_and_answered(
    sim: SimulatorProcess, receiver: Receiver, client: Client
) -> None:
    receiver.answer, receiver.body = (lambda _: 200), b"<Response/>"

    answer = sim.receive(
        {
            "from": "+15550107777",
            "to": SENDER,
            "body": "",
            "messaging_service_sid": SERVICE,
            "media": [{"url": "https://example.com/1.jpg", "content_type": "image/jpeg"}],
            "url": f"{receiver.url}/inbound",
        }
    )

    [received] = receiver.received
    assert (answer["status"], answer["body"], answer["content_type"]) == (200, "<Response/>", "text/xml")
    assert received.params["MessageSid"] == received.params["SmsMessageSid"] == answer["message_sid"]
    assert (received.params["SmsStatus"], received.params["Body"], received.params["FromCity"]) == (
        "received",
        "",
        "",
    )
    assert (received.params["NumMedia"], received.params["MediaContentType0"]) == ("1", "image/jpeg")
    assert "OptOutType" not in received.params
    assert is_signed(received, receiver.url)
    assert client.messages(answer["message_sid"]).fetch().direction == "inbound"


def test_an_inbound_picture_is_shown_by_the_simulator(sim: SimulatorProcess, receiver: Receiver) -> None:
    message = {"from": "whatsapp:+15550100077", "to": f"whatsapp:{SENDER}", "url": receiver.url}

    sid = sim.receive(message | {"media": [{"content_type": "image/png"}]})["message_sid"]

    [received] = receiver.received
    url = received.params["MediaUrl0"]
    assert url.startswith(f"{sim.url}/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{sid}/Media/ME")
    assert (received.params["MediaContentType0"], received.params["WaId"]) == ("image/png", "15550100077")
    shown = requests.get(url, timeout=5)
    assert shown.headers["Content-Type"] == "image/png"
    assert shown.content.startswith(b"\x89PNG")


def test_callbacks_about_a_channel_say_so(client: Client, receiver: Receiver, to: str) -> None:
    send(client, f"whatsapp:{to}", receiver.url, from_=f"whatsapp:{SENDER}")

    callbacks = receiver.wait_for(2, to=f"whatsapp:{to}")

    told = {callback.params["MessageStatus"]: callback.params for callback in callbacks}
    assert {params["ChannelPrefix"] for params in told.values()} == {"whatsapp"}
    assert "EventType" not in told["sent"]
    assert told["delivered"]["EventType"] == "DELIVERED"


def run_phone(sim: SimulatorProcess, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "simulator", "inbound", *arguments, "--simulator", sim.url]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False, timeout=30)


def test_one_command_has_a_phone_write(sim: SimulatorProcess, receiver: Receiver, to: str) -> None:
    receiver.answer = lambda _: 200

    done = run_phone(sim, "STOP", "--from", to, "--to", SENDER, "--url", f"{receiver.url}/inbound")

    [received] = receiver.received
    assert (received.params["From"], received.params["To"], received.params["Body"]) == (to, SENDER, "STOP")
    assert done.returncode == 0, done.stderr
    assert "the webhook answered 200" in done.stdout
    assert "successfully been unsubscribed" in done.stdout


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "nobody was told"),
        ("http://127.0.0.1:1/", "did not answer"),
    ],
)
def test_a_phone_that_nobody_heard_fails(sim: SimulatorProcess, url: str, said: str) -> None:
    done = run_phone(sim, "Hello?", "--to", SENDER, "--url", url)

    assert done.returncode == 1
    assert said in done.stdout


def test_a_phone_without_a_simulator_fails(sim: SimulatorProcess) -> None:
    done = run_phone(replace(sim, url="http://127.0.0.1:1"), "Hello?")

    assert (done.returncode, done.stdout) == (1, "")
    assert "http://127.0.0.1:1" in done.stderr


def test_an_inbound_message_can_be_delivered_again(sim: SimulatorProcess, receiver: Receiver) -> None:
    message = {"from": "+15550107778", "to": SENDER, "body": "Hi", "url": receiver.url}
    sid = sim.receive(message)["message_sid"]

    assert sim.receive(message | {"message_sid": sid})["message_sid"] == sid
    assert [received.params["MessageSid"] for received in receiver.received] == [sid, sid]


@pytest.mark.parametrize("body", ["STOP", " stop ", "Revoke", "OPTOUT"])
def test_stop_blocks_until_start(sim: SimulatorProcess, client: Client, to: str, body: str) -> None:
    sim.receive({"from": to, "to": SENDER, "body": body})

    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=to, from_=SENDER, body="Hello")

    assert (refused.value.status, refused.value.code) == (400, 21610)
    sim.receive({"from": to, "to": SENDER, "body": "Start"})
    assert client.messages.create(to=to, from_=SENDER, body="Hello").status == "queued"


@pytest.mark.parametrize("body", ["STOP it", "OPT OUT", "please stop texting"])
def test_other_words_do_not_block(sim: SimulatorProcess, client: Client, to: str, body: str) -> None:
    assert sim.receive({"from": to, "to": SENDER, "body": body})["status"] is None

    assert client.messages.create(to=to, from_=SENDER, body="Hello").status == "queued"


def test_a_stop_to_a_service_blocks_the_service(sim: SimulatorProcess, client: Client, to: str) -> None:
    sim.receive({"from": to, "to": "+15550106666", "messaging_service_sid": SERVICE, "body": "arrêt",
                 "opt_out_type": "STOP"})  # fmt: skip

    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=to, messaging_service_sid=SERVICE, body="Hello")

    assert refused.value.code == 21610
    assert client.messages.create(to=to, from_=SENDER, body="Hello").status == "queued"


def test_a_stop_that_is_delivered_again_blocks_nobody_again(
    sim: SimulatorProcess, client: Client, to: str
) -> None:
    stop = {"from": to, "to": SENDER, "body": "STOP"}
    sid = sim.receive(stop)["message_sid"]
    sim.receive({"from": to, "to": SENDER, "body": "START"})

    sim.receive(stop | {"message_sid": sid})

    assert client.messages.create(to=to, from_=SENDER, body="Hello").status == "queued"


@pytest.mark.parametrize(("body", "begin"), [("stop", "You have"), ("HELP", "Reply STOP"), ("hello", None)])
def test_twilio_answers_keywords_itself(sim: SimulatorProcess, to: str, body: str, begin: str | None) -> None:
    reply = sim.receive({"from": to, "to": SENDER, "body": body})["reply"]

    assert reply is None if begin is None else reply.startswith(begin)


def test_with_advanced_opt_out_the_webhook_names_the_keyword(
    sim: SimulatorProcess, receiver: Receiver, to: str
) -> None:
    sim.configure(advanced_opt_out=True)
    try:
        for service in (SERVICE, ""):
            message = {"from": to, "to": SENDER, "body": "Stop", "messaging_service_sid": service}
            sim.receive(message | {"url": receiver.url})
    finally:
        sim.configure(advanced_opt_out=False)

    assert [received.params.get("OptOutType") for received in receiver.received] == ["STOP", None]


def test_an_opt_out_can_be_told_late(
    sim: SimulatorProcess, client: Client, receiver: Receiver, to: str
) -> None:
    sim.receive({"from": to, "to": SENDER, "body": "STOP"})
    sim.configure(late_opt_outs=True)
    try:
        client.messages.create(to=to, from_=SENDER, body="Hello", status_callback=receiver.url)
        sim.wait_until_idle()
    finally:
        sim.configure(late_opt_outs=False)

    assert [
        (received.params["MessageStatus"], received.params["ErrorCode"]) for received in receiver.received
    ] == [("failed", "21610")]


@pytest.mark.parametrize(
    "payload", [{}, {"from": "+1555"}, {"from": "+1", "to": "+2", "media": [{"url": "x"}]}]
)
def test_nonsense_inbound_is_refused(sim: SimulatorProcess, payload: dict[str, object]) -> None:
    with pytest.raises(SimulatorError, match="400"):
        sim.receive(payload)
