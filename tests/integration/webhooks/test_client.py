"""Requests to consumers that do everything wrong, and to addresses that nobody may ask."""

import socket
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from smsapp.ports import ConsumerReply
from smsapp.webhooks.client import KEPT_ANSWER_BYTES, WebhookPoster, signed_headers
from tests.support import consumer as behaviours
from tests.support.consumer import Behaviour, Consumer, accept, refuse
from tests.support.environment import make_settings
from tests.support.fakes import START

HERE = ("127.0.0.1/32",)


def poster(*, timeout_s: float = 2.0, networks: tuple[str, ...] = HERE) -> WebhookPoster:
    """Return a poster that may ask this machine."""
    return WebhookPoster(
        make_settings(
            push_timeout=timedelta(seconds=timeout_s), push_allow_http=True, push_allowed_networks=networks
        )
    )


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """A well-behaved consumer, until it is told otherwise."""
    with Consumer(accept) as consumer:
        yield consumer


def ask(consumer: Consumer, behave: Behaviour, *, timeout_s: float = 2.0) -> ConsumerReply:
    """Make one request to a consumer that behaves so."""
    consumer.behave = behave
    return poster(timeout_s=timeout_s).post(consumer.url, b"{}", {})


def test_a_whole_answer_is_kept(consumer: Consumer) -> None:
    reply = ask(consumer, refuse(503, b"later\x00", Retry_After="7"))

    assert (reply.status, reply.response, reply.error) == (503, "later\N{REPLACEMENT CHARACTER}", None)
    assert reply.retry_after == timedelta(seconds=7)
    assert not reply.delivered


def test_a_long_answer_is_cut(consumer: Consumer) -> None:
    reply = ask(consumer, refuse(200, b"x" * 100_000))

    assert reply.delivered
    assert reply.response == "x" * KEPT_ANSWER_BYTES


def test_numbers_that_a_consumer_echoes_are_not_kept(consumer: Consumer) -> None:
    told = (
        b'{"to":"+14155552671","or":"(415) 555-2671","at":"2026-11-28T08:24:56Z","id":"01a22141-e3db-738c"}'
    )

    kept = ask(consumer, refuse(400, told)).response or ""

    assert kept == '{"to":"[phone]","or":"([phone]","at":"2026-11-28T08:24:56Z","id":"01a22141-e3db-738c"}'


@pytest.mark.parametrize(
    ("behave", "error"),
    [
        (behaviours.hang, "timeout"),
        (behaviours.drip, "timeout"),
        (behaviours.flood, "answer_too_large"),
        (behaviours.babble, "unreadable_answer"),
        (behaviours.cut_off, "unreadable_answer"),
    ],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_misbehaviour_is_bounded_and_named(consumer: Consumer, behave: Behaviour, error: str) -> None:
    began = time.monotonic()

    reply = ask(consumer, behave, timeout_s=1.0)

    assert time.monotonic() - began < 2.0
    assert (reply.error, reply.delivered) == (error, False)
    assert len(reply.response or "") <= KEPT_ANSWER_BYTES


def test_an_answer_that_drips_after_its_head_is_cut_off(consumer: Consumer) -> None:
    def drip_body(handler: Any) -> None:
        handler.close_connection = True
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        while not consumer.ended.wait(0.05):
            handler.wfile.write(b"1\r\nx\r\n")

    reply = ask(consumer, drip_body, timeout_s=1.0)

    assert (reply.status, reply.error, reply.delivered) == (200, "timeout", False)
    assert reply.duration < timedelta(seconds=2)


@pytest.mark.parametrize(
    "heads",
    [
        [b"103 Early Hints\r\nLink: </style.css>; rel=preload"],
        [b"100 Continue"],
        [b"102 Processing", b"102 Processing", b"103"],
        [b"199 Unheard Of\r\nContent-Length: 5\r\nConnection: close\r\nTransfer-Encoding: chunked"],
        [b"100 Continue", b"103 Early Hints"] * 10,
        [b"103 Early Hints\r\nLink: " + b"x" * 60_000],
    ],
    ids=["hints", "continue", "processing", "odd", "many", "long"],
)
def test_interim_answers_are_skipped(consumer: Consumer, heads: list[bytes]) -> None:
    consumer.behave = behaviours.hint(*heads)
    client = poster()

    replies = [client.post(consumer.url, b"{}", {}) for _ in range(2)]  # the second on the kept connection

    assert [(reply.status, reply.error, reply.delivered) for reply in replies] == [(204, None, True)] * 2


@pytest.mark.parametrize(
    "heads",
    [
        [b"103 Early Hints"] * 21,
        [b"100 Continue"] * 21,
        [b"103 Early Hints\r\nLink: " + b"x" * 70_000],
        [b"103 Early Hints" + b"\r\nLink: x" * 10_000],
        [b"103 Early Hints" + b"x" * 70_000],
    ],
    ids=["hints", "continues", "long field", "many fields", "long line"],
)
def test_too_many_interim_answers_are_no_answer(consumer: Consumer, heads: list[bytes]) -> None:
    reply = ask(consumer, behaviours.hint(*heads))

    assert (reply.status, reply.error, reply.delivered) == (None, "unreadable_answer", False)


def test_a_protocol_that_nobody_asked_for_is_no_acknowledgement(consumer: Consumer) -> None:
    reply = ask(consumer, behaviours.hint(b"101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade"))

    assert (reply.status, reply.delivered) == (101, False)


def test_nobody_listening(consumer: Consumer) -> None:
    consumer.stop()

    assert poster().post(consumer.url, b"{}", {}).error == "connection_refused"


def test_redirects_are_not_followed(consumer: Consumer) -> None:
    with Consumer(accept) as other:
        reply = ask(consumer, refuse(307, Location=other.url))

        assert (reply.status, reply.delivered) == (307, False)
        assert other.seen == []


def test_connections_are_kept(consumer: Consumer) -> None:
    ports = []

    def remember(handler: Any) -> None:
        ports.append(handler.client_address[1])
        accept(handler)

    consumer.behave = remember
    client = poster()
    replies = [client.post(consumer.url, b"{}", {}) for _ in range(3)]

    assert [reply.status for reply in replies] == [204, 204, 204]
    assert len(set(ports)) == 1


def test_a_kept_connection_has_a_whole_timeout_again(consumer: Consumer) -> None:
    def slow(handler: Any) -> None:
        time.sleep(0.6)
        accept(handler)

    consumer.behave = slow
    client = poster(timeout_s=1.0)

    assert [client.post(consumer.url, b"{}", {}).status for _ in range(3)] == [204, 204, 204]


# --- Addresses


def resolving(monkeypatch: pytest.MonkeyPatch, answer: Callable[[int], list[str]]) -> list[str]:
    """Let names lead to these addresses, by how often was asked before; return whom was asked for."""
    asked: list[str] = []

    def getaddrinfo(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        found = answer(len(asked) - 1)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    return asked


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"])
def test_this_machine_is_not_asked(consumer: Consumer, host: str) -> None:
    reply = poster(networks=()).post(f"http://{host}:{consumer.port}/", b"{}", {})

    assert reply.error == "address_not_allowed"
    assert consumer.seen == []


def test_a_name_that_leads_inside_is_not_followed(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, lambda _: ["127.0.0.1", "169.254.169.254"])

    reply = poster(networks=()).post(f"http://example.com:{consumer.port}/", b"{}", {})

    assert reply.error == "address_not_allowed"
    assert consumer.seen == []


def test_the_connection_goes_to_the_address_that_was_checked(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = resolving(monkeypatch, lambda before: ["127.0.0.1"] if before == 0 else ["127.0.0.2"])

    reply = poster().post(f"http://rebinding.example:{consumer.port}/", b"{}", {})

    assert reply.delivered
    assert asked == ["rebinding.example"]
    assert consumer.seen[0].headers["host"] == f"rebinding.example:{consumer.port}"


def test_of_several_addresses_only_allowed_ones_are_tried(
    consumer: Consumer, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolving(monkeypatch, lambda _: ["127.0.0.2", "127.0.0.1"])

    assert poster().post(f"http://example.com:{consumer.port}/", b"{}", {}).delivered


def test_a_resolver_that_hangs_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def hang(_: int) -> list[str]:
        time.sleep(1.5)
        return ["127.0.0.1"]

    resolving(monkeypatch, hang)
    reply = poster(timeout_s=0.3).post("http://example.com/", b"{}", {})

    assert reply.error == "timeout"
    assert reply.duration < timedelta(seconds=1)


def test_a_certificate_that_nobody_vouches_for_is_refused(consumer: Consumer) -> None:
    assert poster().post(consumer.url.replace("http:", "https:"), b"{}", {}).error == "tls_failed"


# --- Signatures


def test_each_secret_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    headers = signed_headers("evt_1", b'{"a":1}', ["whsec_" + "MfKQ" * 8, "whsec_" + "C2FV" * 8], now=START)

    assert headers["webhook-id"] == "evt_1"
    assert headers["webhook-timestamp"] == str(int(START.timestamp()))
    assert [part[:3] for part in headers["webhook-signature"].split(" ")] == ["v1,", "v1,"]
