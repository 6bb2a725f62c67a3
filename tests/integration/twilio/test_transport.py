"""What the network does to a request, told as a fact: it was not sent, it was answered, or nobody knows."""

import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from dev.servers import free_port
from smsapp.twilio.connections import NoAnswerError, NotSentError
from smsapp.twilio.transport import RefusedError, Transport

TIMEOUT = timedelta(milliseconds=300)
OK = b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

Talk = Callable[[socket.socket], None]


@dataclass
class RawServer:
    """Accepts connections and lets a script talk on each; keeps what it was sent."""

    talks: list[Talk]
    requests: list[bytes] = field(default_factory=list)
    connections: int = 0
    url: str = ""
    done: threading.Event = field(default_factory=threading.Event)
    hung_up: threading.Event = field(default_factory=threading.Event)

    def serve(self, listener: socket.socket) -> None:
        with ThreadPoolExecutor(len(self.talks)) as pool:
            for talk in self.talks:
                connection, _ = listener.accept()
                if self.done.is_set():
                    connection.close()
                    return
                self.connections += 1
                pool.submit(self._converse, talk, connection)

    def _converse(self, talk: Talk, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(5)
            talk(connection)
        self.hung_up.set()

    def receive(self, connection: socket.socket) -> bool:
        """Read one request; return False when the other side has hung up."""
        data = b""
        while b"\r\n\r\n" not in data:
            chunk = connection.recv(65_536)
            if not chunk:
                return False
            data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(
            (
                int(line.split(b":")[1])
                for line in head.split(b"\r\n")
                if line.lower().startswith(b"content-length")
            ),
            0,
        )
        while len(body) < length:
            body += connection.recv(65_536)
        self.requests.append(head + b"\r\n\r\n" + body)
        return True

    def answer(self, reply: bytes, *, times: int = 1) -> Talk:
        """Return a talk that answers so many requests on one connection."""

        def talk(connection: socket.socket) -> None:
            for _ in range(times):
                if self.receive(connection):
                    connection.sendall(reply)

        return talk

    def silence(self, connection: socket.socket) -> None:
        """Take the request and never answer, until the test is over."""
        self.receive(connection)
        self.done.wait(5)

    def take(self, connection: socket.socket) -> None:
        """Take whatever comes and never answer, until the test is over."""
        connection.recv(65_536)
        self.done.wait(5)

    def twice(self, connection: socket.socket) -> None:
        """Answer two requests on one connection."""
        self.answer(OK, times=2)(connection)

    def reset(self, connection: socket.socket) -> None:
        """Take the request, and reset the connection."""
        self.receive(connection)
        reset_on_close(connection)

    def half(self, connection: socket.socket) -> None:
        """Take the request, answer half of what was announced, and hang up."""
        self.receive(connection)
        connection.sendall(b'HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\n{"sid": ')


def reset_on_close(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@contextmanager
def serving(*talks: str | Talk | bytes) -> Iterator[RawServer]:
    """Run a server that holds these talks, one per connection: a method's name, a reply, or a function."""
    server = RawServer([])
    server.talks = [
        getattr(server, talk)
        if isinstance(talk, str)
        else server.answer(talk)
        if isinstance(talk, bytes)
        else talk
        for talk in talks
    ]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        thread = threading.Thread(target=server.serve, args=(listener,))
        thread.start()
        try:
            yield server
        finally:
            server.done.set()
            with socket.socket() as poke:  # should it still wait for a connection
                poke.connect_ex(listener.getsockname())
            thread.join(10)


@pytest.fixture
def transport() -> Iterator[Transport]:
    transport = Transport(connect_timeout=TIMEOUT, read_timeout=TIMEOUT, connections=4)
    yield transport
    transport.close()


def post(transport: Transport, url: str) -> int:
    status: int = transport.request(
        "POST", url, data={"Body": "Grüße & 💥"}, auth=("AC1", "secret")
    ).status_code
    return status


# Certainly not sent.


def test_a_refused_connection_means_not_sent(transport: Transport) -> None:
    with pytest.raises(NotSentError, match="ConnectionRefusedError"):
        post(transport, f"http://127.0.0.1:{free_port()}")


def test_a_name_without_an_address_means_not_sent(transport: Transport) -> None:
    with pytest.raises(NotSentError, match="gaierror"):
        post(transport, "http://twilio.invalid")


def test_a_connection_that_does_not_come_about_means_not_sent(transport: Transport) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:  # fill the queue of a server that accepts nobody
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        began = time.monotonic()
        with pytest.raises(NotSentError, match="TimeoutError"):
            post(transport, f"http://127.0.0.1:{full.getsockname()[1]}")
        elapsed = time.monotonic() - began
        for each in waiting:
            each.close()

    assert TIMEOUT.total_seconds() * 0.9 < elapsed < 3


def hang_up(connection: socket.socket) -> None:
    """Take what comes first, and reset the connection."""
    connection.recv(65_536)
    reset_on_close(connection)


def speak_plainly(connection: socket.socket) -> None:
    """Answer as if the other side had not asked for encryption."""
    connection.recv(65_536)
    connection.sendall(OK)


@pytest.mark.parametrize(
    ("handshake", "cause"),
    [
        pytest.param(hang_up, "ConnectionResetError", id="reset"),
        pytest.param(speak_plainly, "SSLError|SSLEOFError", id="no TLS"),
        pytest.param("take", "TimeoutError", id="silence"),
    ],
)
def test_a_handshake_that_fails_means_not_sent(
    transport: Transport, handshake: Talk | str, cause: str
) -> None:
    """Nothing of the request leaves before the handshake is done."""
    with serving(handshake) as server, pytest.raises(NotSentError, match=cause):
        post(transport, server.url.replace("http:", "https:"))


def test_a_certificate_that_nobody_vouches_for_means_not_sent(transport: Transport, tmp_path: Path) -> None:
    context = self_signed(tmp_path)

    def shake_hands(connection: socket.socket) -> None:
        with pytest.raises(ssl.SSLError):
            context.wrap_socket(connection, server_side=True)

    with serving(shake_hands) as server, pytest.raises(NotSentError, match="SSLCertVerificationError"):
        post(transport, server.url.replace("http:", "https:"))


def self_signed(folder: Path) -> ssl.SSLContext:
    """Return a server's TLS context with a certificate of its own making."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("there is no openssl to make a certificate with")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    request = ["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run([openssl, *request, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    return context


# Sent, and nobody knows.


@pytest.mark.parametrize(
    ("talk", "cause"),
    [
        pytest.param("silence", "TimeoutError", id="no answer in time"),
        pytest.param("reset", "ConnectionResetError", id="reset after the request"),
        pytest.param("half", "HungUpError", id="half an answer"),
        pytest.param(b"", "HungUpError", id="hung up"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n", "HungUpError", id="hung up after an interim answer"),
        pytest.param(b"what?\r\n\r\n", "HttpParserInvalidStatusError|HttpParserError", id="no HTTP"),
        pytest.param(
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            "HttpParserError",
            id="broken chunks",
        ),
    ],
)
def test_a_request_without_a_whole_answer_may_have_been_processed(
    transport: Transport, talk: str | bytes, cause: str
) -> None:
    with serving(talk) as server, pytest.raises(NoAnswerError, match=cause):
        post(transport, server.url)

    assert len(server.requests) == 1  # and it was not repeated


def test_an_answer_is_waited_for_as_long_as_is_set_and_no_longer(transport: Transport) -> None:
    with serving("silence") as server:
        began = time.monotonic()
        with pytest.raises(NoAnswerError):
            post(transport, server.url)
        elapsed = time.monotonic() - began

    assert TIMEOUT.total_seconds() * 0.9 < elapsed < 3


def test_an_answer_that_trickles_in_is_not_waited_for_longer(transport: Transport) -> None:
    def trickle(connection: socket.socket) -> None:
        assert server.receive(connection)
        with suppress(OSError):
            while not server.done.wait(TIMEOUT.total_seconds() / 5):
                connection.sendall(b"HTTP/1.1 201 Created\r\n" if not sent else b"X-More: 1\r\n")
                sent.append(True)

    sent: list[bool] = []
    with serving(trickle) as server:
        began = time.monotonic()
        with pytest.raises(NoAnswerError, match="TimeoutError"):
            post(transport, server.url)
        elapsed = time.monotonic() - began

    assert len(sent) > 1
    assert TIMEOUT.total_seconds() * 0.9 < elapsed < 3


def test_an_answer_without_end_is_given_up(transport: Transport) -> None:
    def talk(connection: socket.socket) -> None:
        assert server.receive(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        with suppress(OSError):
            while True:
                connection.sendall(b"x" * 1_000_000)

    with serving(talk) as server, pytest.raises(NoAnswerError, match="HttpParserCallbackError"):
        transport_with_patience().request("GET", server.url)


def transport_with_patience() -> Transport:
    return Transport(connect_timeout=TIMEOUT, read_timeout=timedelta(seconds=30), connections=1)


def test_a_slow_answer_within_the_timeout_is_an_answer(transport: Transport) -> None:
    def slowly(connection: socket.socket) -> None:
        assert server.receive(connection)
        server.done.wait(TIMEOUT.total_seconds() / 3)
        connection.sendall(OK)

    with serving(slowly) as server:
        assert post(transport, server.url) == 201


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(b"HTTP/1.1 100 Continue\r\nX: 1\r\n\r\n" + OK, id="after an interim one"),
        pytest.param(b"HTTP/1.0 201 Created\r\n\r\n{}", id="that ends with the connection"),
        pytest.param(
            b"HTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
            id="in chunks",
        ),
        pytest.param(OK + b"what else?", id="with more behind it"),
        pytest.param(OK + OK.replace(b"201", b"500"), id="with another behind it"),
    ],
)
def test_a_whole_answer_counts(transport: Transport, reply: bytes) -> None:
    with serving(reply) as server:
        answer = transport.request("POST", server.url)

    assert (answer.status_code, answer.content) == (201, "{}")


# Refused.


def refusal(status: int, body: bytes, *headers: bytes) -> bytes:
    return b"\r\n".join(
        [b"HTTP/1.1 %d Refused" % status, b"Content-Length: %d" % len(body), *headers, b"", body]
    )


@pytest.mark.parametrize(
    ("reply", "status", "code"),
    [
        pytest.param(refusal(400, b'{"code": 21211, "status": 400}'), 400, 21211, id="with a code"),
        pytest.param(refusal(401, b'{"code": "20003"}'), 401, 20003, id="a code as text"),
        pytest.param(refusal(400, b'{"message": "no"}'), 400, None, id="without a code"),
        pytest.param(refusal(400, b'{"code": null}'), 400, None, id="a code that is null"),
        pytest.param(refusal(404, b"<html>"), 404, None, id="HTML"),
        pytest.param(refusal(400, b"[1]"), 400, None, id="a list"),
        pytest.param(refusal(400, b""), 400, None, id="empty"),
        pytest.param(refusal(500, b'{"code": 20500}'), 500, 20500, id="500"),
        pytest.param(refusal(503, b"\xff\xfe"), 503, None, id="no text"),
        pytest.param(
            refusal(302, b"", b"Location: http://127.0.0.1:1/"), 302, None, id="a redirect is not followed"
        ),
    ],
)
def test_a_refusal_has_its_status_and_twilios_code(
    transport: Transport, reply: bytes, status: int, code: int | None
) -> None:
    with serving(reply) as server, pytest.raises(RefusedError, match=f"http_{status}") as refused:
        post(transport, server.url)

    assert (refused.value.status, refused.value.code, refused.value.retry_after) == (status, code, None)


def test_a_refusal_says_when_to_come_back(transport: Transport) -> None:
    reply = refusal(429, b'{"code": 20429}', b"retry-after: 17")

    with serving(reply) as server, pytest.raises(RefusedError) as refused:
        post(transport, server.url)

    assert (refused.value.code, refused.value.retry_after) == (20429, "17")


# Answered.


def test_a_request_is_sent_as_the_sdk_means_it(transport: Transport) -> None:
    with serving(OK) as server:
        status = post(transport, server.url + "/Messages.json")

    (request,) = server.requests
    assert status == 201
    assert request.startswith(b"POST /Messages.json HTTP/1.1\r\n")
    assert b"authorization: Basic QUMxOnNlY3JldA==" in request.replace(b"Authorization", b"authorization")
    assert request.endswith(b"\r\n\r\nBody=Gr%C3%BC%C3%9Fe+%26+%F0%9F%92%A5")


def test_parameters_go_into_the_address(transport: Transport) -> None:
    with serving(OK) as server:
        transport.request(
            "GET", server.url + "/Messages.json", params={"To": "+1415", "MediaUrl": ["a", "b"]}
        )

    assert server.requests[0].startswith(b"GET /Messages.json?To=%2B1415&MediaUrl=a&MediaUrl=b HTTP/1.1\r\n")


def test_a_connection_is_used_again(transport: Transport) -> None:
    with serving("twice") as server:
        post(transport, server.url)
        post(transport, server.url)

    assert (len(server.requests), server.connections) == (2, 1)


def test_a_connection_that_the_other_side_closed_is_replaced(transport: Transport) -> None:
    with serving(OK, OK) as server:  # one answer each, then it hangs up
        post(transport, server.url)
        assert server.hung_up.wait(5)
        post(transport, server.url)

    assert (len(server.requests), server.connections) == (2, 2)


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), id="that is to be the last"),
        pytest.param(OK + OK.replace(b"201", b"500"), id="that another followed"),
    ],
)
def test_a_connection_is_not_used_after_an_answer(transport: Transport, reply: bytes) -> None:
    def stay(connection: socket.socket) -> None:
        assert server.receive(connection)
        connection.sendall(reply)
        server.done.wait(5)

    with serving(stay, OK) as server:
        statuses = [post(transport, server.url), post(transport, server.url)]

    assert (statuses, server.connections) == ([201, 201], 2)


def test_requests_at_once_have_connections_of_their_own(transport: Transport) -> None:
    together = threading.Barrier(3)

    def meet(connection: socket.socket) -> None:
        assert server.receive(connection)
        together.wait(5)
        connection.sendall(OK)

    with serving(meet, meet, meet) as server, ThreadPoolExecutor(3) as pool:
        statuses = list(pool.map(lambda _: post(transport, server.url), range(3)))

    assert statuses == [201, 201, 201]
