"""Spoiled requests on the raw socket: whatever comes, it is answered, never with a 5xx but 503, and nothing is quoted.

`make test-deep` sends 100,000 of a new seed, or as many as FUZZ_REQUESTS says; FUZZ_SEED repeats a run.
"""

import json
import os
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import cast

import pytest

from dev.servers import PostgresServer
from smsapp.ids import inbound_id, new_id, prefixed_id
from smsapp.inbound import queries as inbound
from smsapp.inbound.rules import InboundText
from smsapp.twilio.callback import Callback
from tests.support.budget import DEEP
from tests.support.fuzz.corpus import NUMBER, WORDS, Names, Request, corpus, form_of
from tests.support.fuzz.run import complaint, exchange, run
from tests.support.stack import DATABASES, ROOT, Database, Stack
from tests.support.tables import print_at_the_end

REQUESTS = int(os.environ.get("FUZZ_REQUESTS") or (100_000 if DEEP else 3_000))
"""In all four runs together."""

SEED = int(os.environ.get("FUZZ_SEED") or (random.SystemRandom().randrange(2**32) if DEEP else 1))
PATHS = {"fast path": "", "WSGI alone": "--keep-alive 0"}
"""gunicorn's options by what takes plain requests; everything else takes the second way in both."""

ENDLESS = {"MAX_DUE_MESSAGES": "10000000", "MAX_STREAM_LENGTH": "10000000"}


@pytest.fixture(params=PATHS)
def path(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=DATABASES)
def stack(
    request: pytest.FixtureRequest, path: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """A web process and nothing else, on each database and either path."""
    kind = cast("Database", request.param)
    postgres: PostgresServer | None = (
        request.getfixturevalue("postgres_server") if kind == "postgres" else None
    )
    environment = ENDLESS | ({"GUNICORN_CMD_ARGS": PATHS[path]} if PATHS[path] else {})
    folder = tmp_path_factory.mktemp(f"fuzz_{kind}_{list(PATHS).index(path)}")
    with Stack(folder, database=kind, postgres=postgres, only={"web"}, environment=environment) as stack:
        yield stack


@pytest.fixture
def names(stack: Stack) -> Names:
    """A resource of each kind, and its id."""
    receipt = Callback(new_id(), "inbound", None, "", None, datetime.now(UTC))
    with stack.sessions.begin() as session:
        text = InboundText("SM" + "1" * 32, NUMBER, "+15005550006", None, WORDS, None, {})
        inbound.add(session, text, receipt=receipt)
    made = {
        "message_id": ("/sms/send", {"to": NUMBER, "body": WORDS}),
        "subscription_id": ("/sms/subscriptions", {"url": "https://127.0.0.1/e"}),
        "other_id": ("/sms/subscriptions", {"url": "https://127.0.0.1/e"}),
        "suppression_id": ("/sms/suppressions", {"recipient": "+12025550143", "note": WORDS}),
        "job_id": ("/sms/jobs", {"body": WORDS, "rows": [{"to": NUMBER}], "start": False}),
    }
    ids = {}
    for name, (address, document) in made.items():
        answer = stack.request("POST", address, document)
        assert answer.status < 300, answer.data
        ids[name] = answer.json()["id"]
    for template in ("hello", "other"):
        answer = stack.request("POST", "/sms/templates", {"name": template, "body": "Hi {{name}}"})
        assert answer.status < 300, answer.data
    found = stack.request("GET", "/sms/inbound").json()["data"]
    ids |= {"inbound_id": found[0]["id"] if found else inbound_id(new_id())}
    ids |= {"delivery_id": prefixed_id("dlv", new_id()), "template_name": "hello", "other_name": "other"}
    return Names(stack.url(), stack.api_key, ids)


def quoted(stack: Stack, names: Names) -> list[str]:
    """Return lines of the service's log with a traceback, an unexpected error, or something private."""
    private = [names.key, NUMBER.removeprefix("+"), WORDS, "Traceback", "unexpected_error", "Request failed"]
    lines = "\n".join(stack.logs().values()).splitlines()
    return [line[:2000] for line in lines if any(each in line for each in private)]


def test_the_corpus_knows_every_operation_and_all_of_it_is_valid(stack: Stack, names: Names) -> None:
    document = json.loads((ROOT / "openapi.json").read_text("utf-8"))
    operations = {f"{method.upper()} {path}" for path, item in document["paths"].items() for method in item}
    operations -= {"DELETE /sms/subscriptions/{subscription_id}", "DELETE /sms/templates/{template_name}"}
    requests = list(dict.fromkeys(corpus(names)))  # each once: a second template of a name is refused

    statuses = {
        f"{request.route} {at}": exchange(stack.ports["web"], [request.render()])[0][9:12]
        for at, request in enumerate(requests)
    }

    assert operations <= {request.route for request in requests}
    unknown = {"GET /sms/deliveries/{delivery_id}", "POST /sms/deliveries/{delivery_id}/resend"}
    refused = {route: status for route, status in statuses.items() if status[:1] not in {b"2", b"3"}}
    assert {route.rpartition(" ")[0] for route in refused} <= unknown, refused


def test_spoiled_requests_are_answered_and_never_quoted(
    stack: Stack, names: Names, path: str, record_property: Callable[[str, object], None]
) -> None:
    seeds: list[Request] = corpus(names)
    count = REQUESTS // (len(PATHS) * len(DATABASES))
    place = list(PATHS).index(path) * len(DATABASES) + DATABASES.index(stack.kind)

    report = run(stack.ports["web"], seeds, names, seed=SEED, first=place * count, count=count)

    print_at_the_end(record_property, f"fuzz, {stack.kind}, {path}", str(report))
    assert not report.findings, f"{report}\n" + "\n".join(report.findings)
    assert quoted(stack, names) == []
    assert report.answers[503] < REQUESTS // 100


@pytest.mark.deep
@pytest.mark.parametrize("path", ["fast path"], indirect=True)
def test_whatever_was_taken_a_worker_can_process(stack: Stack, names: Names) -> None:
    callbacks = [request for request in corpus(names) if form_of(request)]
    run(stack.ports["web"], callbacks, names, seed=SEED, count=2_000)

    for name in ("simulator", "worker-1", "beat"):
        stack.start(name)
    stack.wait_until_tracked(120)

    assert quoted(stack, names) == []
    lines = "\n".join(stack.logs().values()).splitlines()
    letters = [json.loads(line) for line in lines if '"dead_letter"' in line]
    causes = {letter["cause"].partition(":")[0] for letter in letters}
    assert causes <= {"InvalidCallbackError"}  # they lack what every callback says


@pytest.mark.parametrize(
    ("sent", "answer", "error", "fault"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n", None, None),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 503 x\r\n", "connection: ConnectionResetError", None),
        (b"GET / HTTP/1.1\r\n", b"", None, None),
        (b"GET / HTTP/1.1\r\n\r\n", b"", None, "no answer (closed)"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 100 Continue\r\n", None, "no answer (closed)"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\nHTTP/1.1 500 x\r\n", None, "answered 500"),
        (b"GET / HTTP/1.1\r\n\r\n", b"HTTP/1.1 200 OK\r\n", "no end of the answer", "no end of the answer"),
    ],
)
def test_it_would_be_noticed(sent: bytes, answer: bytes, error: str | None, fault: str | None) -> None:
    assert complaint(sent, answer, error) == fault
