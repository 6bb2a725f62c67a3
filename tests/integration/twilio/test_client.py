"""Twilio's answers as facts about one message, through the official client over real HTTP."""

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import pytest

from dev.servers import free_port
from smsapp.submission.outbound import Outbound
from smsapp.twilio.client import TwilioGateway
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import TwilioMessage, TwilioUnavailableError
from smsapp.twilio.judgement import BreakerScope, SubmissionVerdict
from tests.support.environment import ACCOUNT_SID, BASE_URL, SENDER, make_settings

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
SID = "SM" + "1" * 32
SERVICE = "MG" + "2" * 32
MESSAGES = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages"
OUTBOUND = Outbound(
    id=UUID("01890a5d-96a0-7c4b-9f3e-2d1c0b0a0908"),
    attempt=1,
    to="+14155552671",
    sender=SENDER,
    messaging_service_sid=None,
    body="Grüße 💥",
    created_at=NOW,
)


@dataclass(frozen=True)
class Request:
    """What the server was asked."""

    method: str
    path: str
    query: dict[str, list[str]]
    form: dict[str, list[str]]


@dataclass
class Script:
    """Answers to give, one per request, and the requests that came."""

    url: str = ""
    answers: list[tuple[int, bytes, dict[str, str]]] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def answer(self, status: int, body: Any, **headers: str) -> None:
        """Give this answer next; anything but bytes as JSON."""
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append(
            (status, content, {name.replace("_", "-"): value for name, value in headers.items()})
        )


@pytest.fixture
def script() -> Iterator[Script]:
    """A server that answers as told."""
    script = Script()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            parts = urlsplit(self.path)
            script.requests.append(
                Request(
                    self.command,
                    parts.path,
                    parse_qs(parts.query, keep_blank_values=True),
                    parse_qs(body, keep_blank_values=True),
                )
            )
            status, content, headers = script.answers.pop(0)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST  # noqa: N815 - the base class looks for this name

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        request_queue_size = 128  # with the usual 5 a burst of connections waits a second for the next SYN

    with Server(("127.0.0.1", 0), Handler) as server:
        script.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield script
        server.shutdown()
        thread.join(10)


@pytest.fixture
def gateway(script: Script) -> Iterator[TwilioGateway]:
    gateway = make_gateway(script.url)
    yield gateway
    gateway._transport.close()  # so that the server's threads end


def make_gateway(url: str) -> TwilioGateway:
    settings = make_settings(
        twilio_api_base_url=url,
        twilio_connect_timeout=timedelta(seconds=1),
        twilio_read_timeout=timedelta(seconds=5),
    )
    return TwilioGateway(settings, clock=lambda: NOW)


def message(**changes: Any) -> dict[str, Any]:
    """Return a message as Twilio shows it just after creation."""
    return {
        "sid": SID,
        "account_sid": ACCOUNT_SID,
        "status": "queued",
        "to": "+14155552671",
        "from": SENDER,
        "body": "Grüße 💥",
        "direction": "outbound-api",
        "num_segments": "1",
        "num_media": "0",
        "price": None,
        "price_unit": "USD",
        "error_code": None,
        "error_message": None,
        "date_created": "Mon, 23 Nov 2026 12:00:00 +0000",
        "date_updated": "Mon, 23 Nov 2026 12:00:00 +0000",
        "date_sent": None,
        "messaging_service_sid": None,
        "uri": f"{MESSAGES}/{SID}.json",
        "api_version": "2010-04-01",
        "subresource_uris": {},
    } | changes


FOUND = TwilioMessage(
    sid=SID,
    status="queued",
    to="+14155552671",
    sender=SENDER,
    body="Grüße 💥",
    error_code=None,
    num_segments=1,
    price=None,
    price_unit="USD",
    created_at=NOW,
)


# Submitting.


def test_an_accepted_message_is_told_with_all_that_is_known(gateway: TwilioGateway, script: Script) -> None:
    script.answer(201, message())

    submission = gateway.submit(OUTBOUND)

    assert (submission.message, submission.judgement) == (FOUND, None)
    assert submission.message
    assert submission.message.created_at
    assert submission.message.created_at.utcoffset() == timedelta()
    assert script.requests == [
        Request(
            "POST",
            f"{MESSAGES}.json",
            {},
            {
                "To": ["+14155552671"],
                "From": [SENDER],
                "Body": ["Grüße 💥"],
                "StatusCallback": [
                    f"{BASE_URL}/twilio/status/msg_01890a5d96a07c4b9f3e2d1c0b0a0908#rc=2&rp=ct,rt,5xx&ct=1500&rt=3000"
                ],
            },
        )
    ]


def test_a_message_may_have_a_service_media_a_deadline_and_a_later_attempt(
    gateway: TwilioGateway, script: Script
) -> None:
    script.answer(201, message(**{"from": None, "num_segments": "0", "status": "accepted"}))

    submission = gateway.submit(
        replace(
            OUTBOUND,
            attempt=3,
            sender=None,
            messaging_service_sid=SERVICE,
            media_urls=["https://example.test/1", "https://example.test/2"],
            deliver_by=NOW + timedelta(minutes=5),
        )
    )

    form = script.requests[0].form
    assert submission.message == replace(FOUND, sender=None, status="accepted", num_segments=None)
    assert (form["MessagingServiceSid"], "From" in form) == ([SERVICE], False)
    assert form["MediaUrl"] == ["https://example.test/1", "https://example.test/2"]
    assert form["ValidityPeriod"] == ["300"]
    assert "/msg_01890a5d96a07c4b9f3e2d1c0b0a0908-3#" in form["StatusCallback"][0]


@pytest.mark.parametrize(
    ("status", "body", "headers", "verdict", "code"),
    [
        pytest.param(400, {"code": 21211}, {}, SubmissionVerdict.REFUSED, 21211, id="a code that is final"),
        pytest.param(400, b"", {}, SubmissionVerdict.REFUSED, None, id="no code"),
        pytest.param(
            429, {"code": 20429}, {"Retry_After": "7"}, SubmissionVerdict.RETRY, 20429, id="too many requests"
        ),
        pytest.param(429, {"code": 21611}, {}, SubmissionVerdict.RETRY, 21611, id="a full queue"),
        pytest.param(401, {"code": 20003}, {}, SubmissionVerdict.RETRY, 20003, id="a suspended account"),
        pytest.param(404, b"<html>", {}, SubmissionVerdict.RETRY, None, id="a wrong address"),
        pytest.param(500, {"code": 20500}, {}, SubmissionVerdict.UNKNOWN, 20500, id="500"),
        pytest.param(503, b"<html>", {}, SubmissionVerdict.UNKNOWN, None, id="503 without a code"),
        pytest.param(302, b"", {"Location": "/"}, SubmissionVerdict.UNKNOWN, None, id="a redirect"),
        pytest.param(
            201,
            b"<html>Created</html>",
            {},
            SubmissionVerdict.UNKNOWN,
            OwnCode.ANSWER_LOST,
            id="201 with HTML",
        ),
        pytest.param(201, b"", {}, SubmissionVerdict.UNKNOWN, OwnCode.ANSWER_LOST, id="201 with nothing"),
        pytest.param(
            201, {}, {}, SubmissionVerdict.UNKNOWN, OwnCode.ANSWER_LOST, id="201 with an empty object"
        ),
        pytest.param(201, [], {}, SubmissionVerdict.UNKNOWN, OwnCode.ANSWER_LOST, id="201 with a list"),
        pytest.param(
            201, {"sid": SID}, {}, SubmissionVerdict.UNKNOWN, OwnCode.ANSWER_LOST, id="201 without a status"
        ),
        pytest.param(
            201,
            b'{"sid": "SM',
            {},
            SubmissionVerdict.UNKNOWN,
            OwnCode.ANSWER_LOST,
            id="201 with half an object",
        ),
        pytest.param(
            201,
            message(num_segments="many"),
            {},
            SubmissionVerdict.UNKNOWN,
            OwnCode.ANSWER_LOST,
            id="201 with nonsense",
        ),
    ],
)
def test_every_other_answer_is_judged(
    gateway: TwilioGateway,
    script: Script,
    status: int,
    body: Any,
    headers: dict[str, str],
    verdict: SubmissionVerdict,
    code: int | None,
) -> None:
    script.answer(status, body, **headers)

    submission = gateway.submit(OUTBOUND)

    assert submission.message is None
    assert submission.judgement is not None
    assert (submission.judgement.verdict, submission.judgement.code) == (verdict, code)
    assert submission.retry_after == headers.get("Retry_After")
    assert len(script.requests) == 1  # and it was not repeated


def test_a_server_that_is_not_there_got_nothing() -> None:
    submission = make_gateway(f"http://127.0.0.1:{free_port()}").submit(OUTBOUND)

    assert submission.judgement is not None
    assert (submission.judgement.verdict, submission.judgement.code) == (
        SubmissionVerdict.RETRY,
        OwnCode.TWILIO_UNREACHABLE,
    )
    assert submission.cause == "ConnectionRefusedError"


def test_many_threads_share_one_gateway(gateway: TwilioGateway, script: Script) -> None:
    for _ in range(32):
        script.answer(201, message())

    with ThreadPoolExecutor(8) as pool:
        submissions = list(
            pool.map(lambda number: gateway.submit(replace(OUTBOUND, body=str(number))), range(32))
        )

    assert all(submission.message for submission in submissions)
    assert sorted(int(request.form["Body"][0]) for request in script.requests) == list(range(32))


# Reading back.


def test_a_message_is_fetched(gateway: TwilioGateway, script: Script) -> None:
    script.answer(
        200,
        message(
            status="undelivered",
            error_code=30003,
            price="-0.00750",
            num_segments="2",
        ),
    )

    found = gateway.fetch(SID)

    assert found == replace(FOUND, status="undelivered", error_code=30003, price="-0.00750", num_segments=2)
    assert (script.requests[0].method, script.requests[0].path) == ("GET", f"{MESSAGES}/{SID}.json")


def test_a_message_that_twilio_does_not_have_is_none(gateway: TwilioGateway, script: Script) -> None:
    script.answer(404, {"code": 20404})

    assert gateway.fetch(SID) is None


@pytest.mark.parametrize(
    ("status", "body", "cause", "code", "concerns_one"),
    [
        pytest.param(429, {"code": 20429}, "http_429", 20429, False, id="too many requests"),
        pytest.param(401, {"code": 20003}, "http_401", 20003, False, id="suspended"),
        pytest.param(503, b"<html>", "http_503", None, False, id="out of order"),
        pytest.param(400, {"code": 20001}, "http_400", 20001, True, id="a question it does not take"),
        pytest.param(200, b"<html>", "unreadable_answer", None, True, id="HTML"),
        pytest.param(200, b"", "unreadable_answer", None, True, id="nothing"),
        pytest.param(200, {}, "unreadable_answer", None, True, id="an empty object"),
    ],
)
def test_a_question_without_an_answer_says_why(
    gateway: TwilioGateway,
    script: Script,
    status: int,
    body: Any,
    cause: str,
    code: int | None,
    concerns_one: bool,
) -> None:
    script.answer(status, body, Retry_After="9")

    with pytest.raises(TwilioUnavailableError, match=cause) as unavailable:
        gateway.fetch(SID)

    assert (unavailable.value.code, unavailable.value.concerns_one) == (code, concerns_one)
    assert unavailable.value.retry_after == ("9" if status >= 300 else None)


def page(*sids: str, next_page: str | None = None) -> dict[str, Any]:
    return {
        "messages": [message(sid=sid) for sid in sids],
        "page": 0,
        "page_size": 1000,
        "start": 0,
        "end": len(sids),
        "uri": f"{MESSAGES}.json",
        "first_page_uri": f"{MESSAGES}.json",
        "previous_page_uri": None,
        "next_page_uri": next_page,
    }


def test_messages_to_a_number_are_listed_over_all_pages(gateway: TwilioGateway, script: Script) -> None:
    sids = [f"SM{number:032}" for number in range(5)]
    script.answer(200, page(*sids[:2], next_page=f"{MESSAGES}.json?Page=1&PageToken=abc"))
    script.answer(200, page(*sids[2:4], next_page=f"{MESSAGES}.json?Page=2&PageToken=def"))
    script.answer(200, page(sids[4]))

    found = list(gateway.list_to("+14155552671", limit=200))

    assert [each.sid for each in found] == sids
    assert script.requests[0].query == {"To": ["+14155552671"], "PageSize": ["200"]}
    assert [request.query.get("PageToken") for request in script.requests[1:]] == [["abc"], ["def"]]


def test_a_list_ends_at_its_limit(gateway: TwilioGateway, script: Script) -> None:
    sids = [f"SM{number:032}" for number in range(5)]
    script.answer(200, page(*sids, next_page=f"{MESSAGES}.json?Page=1"))

    assert [each.sid for each in gateway.list_to("+14155552671", limit=3)] == sids[:3]
    assert len(script.requests) == 1


def test_a_list_of_a_span_of_time_asks_in_utc(gateway: TwilioGateway, script: Script) -> None:
    half_past = timezone(timedelta(hours=5, minutes=30))
    script.answer(200, page())

    found = list(
        gateway.list_sent(
            after=datetime(2026, 11, 23, 12, 0, tzinfo=half_past),
            before=datetime(2026, 11, 23, 13, 0, tzinfo=half_past),
            limit=5000,
        )
    )

    assert found == []
    assert script.requests[0].query == {
        "DateSent>": ["2026-11-23T06:30:00Z"],
        "DateSent<": ["2026-11-23T07:30:00Z"],
        "PageSize": ["1000"],
    }


@pytest.mark.parametrize("body", [b"<html>", {"messages": None}, {"code": 1}])
def test_a_list_that_cannot_be_read_is_no_empty_list(
    gateway: TwilioGateway, script: Script, body: Any
) -> None:
    """It would say that Twilio does not have a message which may be there, and the message would be sent again."""
    script.answer(200, body)

    with pytest.raises(TwilioUnavailableError, match="unreadable_answer"):
        list(gateway.list_to("+14155552671", limit=200))


def test_a_list_that_breaks_off_is_no_short_list(gateway: TwilioGateway, script: Script) -> None:
    script.answer(200, page(SID, next_page=f"{MESSAGES}.json?Page=1&PageToken=abc"))
    script.answer(429, {"code": 20429})

    with pytest.raises(TwilioUnavailableError, match="http_429"):
        list(gateway.list_to("+14155552671", limit=200))


# Changing.


def test_with_a_sender_on_whatsapp_the_recipient_is_there_too(gateway: TwilioGateway, script: Script) -> None:
    script.answer(201, message())

    gateway.submit(replace(OUTBOUND, sender="whatsapp:+15005550015"))

    (request,) = script.requests
    assert request.form["To"] == [f"whatsapp:{OUTBOUND.to}"]
    assert request.form["From"] == ["whatsapp:+15005550015"]


def test_a_message_is_canceled(gateway: TwilioGateway, script: Script) -> None:
    script.answer(200, message(status="canceled"))

    canceled = gateway.cancel(SID)

    assert canceled.status == "canceled"
    assert script.requests == [Request("POST", f"{MESSAGES}/{SID}.json", {}, {"Status": ["canceled"]})]


def test_a_message_is_redacted(gateway: TwilioGateway, script: Script) -> None:
    script.answer(200, message(body=""))

    gateway.redact(SID)

    assert script.requests == [Request("POST", f"{MESSAGES}/{SID}.json", {}, {"Body": [""]})]


def test_what_cannot_be_changed_any_more_says_so(gateway: TwilioGateway, script: Script) -> None:
    script.answer(409, {"code": 30409})

    with pytest.raises(TwilioUnavailableError, match="http_409") as refused:
        gateway.cancel(SID)

    assert (refused.value.code, refused.value.status) == (30409, 409)


# The account itself.


def test_an_active_account_works(gateway: TwilioGateway, script: Script) -> None:
    script.answer(200, {"sid": ACCOUNT_SID, "status": "active"})

    probed = gateway.probe()

    assert (probed.judgement, probed.cause) == (None, None)
    assert script.requests[0].path == f"/2010-04-01/Accounts/{ACCOUNT_SID}.json"


@pytest.mark.parametrize(
    ("status", "body", "cause"),
    [
        pytest.param(200, {"sid": ACCOUNT_SID, "status": "suspended"}, "account_suspended", id="suspended"),
        pytest.param(401, {"code": 20003}, "http_401", id="wrong credentials"),
        pytest.param(503, b"", "http_503", id="out of order"),
        pytest.param(200, b"<html>", "unreadable_answer", id="HTML"),
        pytest.param(200, b"", "unreadable_answer", id="nothing"),
        pytest.param(200, {}, "unreadable_answer", id="an empty object"),
    ],
)
def test_anything_else_shows_that_it_does_not(
    gateway: TwilioGateway, script: Script, status: int, body: Any, cause: str
) -> None:
    script.answer(status, body)

    assert gateway.probe().cause == cause


def test_a_suspended_account_is_judged_like_a_submission(gateway: TwilioGateway, script: Script) -> None:
    script.answer(401, {"code": 20003})

    judgement = gateway.probe().judgement

    assert judgement is not None
    assert judgement.breaker is BreakerScope.ACCOUNT


@pytest.mark.parametrize(
    ("content", "sent"),
    [
        (
            {"body": "", "media_urls": ["https://example.com/a.png"]},
            {"MediaUrl": ["https://example.com/a.png"]},
        ),
        (
            {"body": "", "options": {"content_sid": "HX1", "content_variables": {"1": "Jos\u00e9's"}}},
            {"ContentSid": ["HX1"], "ContentVariables": ['{"1": "Jos\u00e9\'s"}']},
        ),
        ({"body": "", "options": {"content_sid": "HX1"}}, {"ContentSid": ["HX1"]}),
        (
            {
                "body": "hi",
                "options": {
                    "smart_encoded": True,
                    "shorten_urls": False,
                    "send_as_mms": True,
                    "risk_check": "disable",
                },
            },
            {
                "Body": ["hi"],
                "SmartEncoded": ["true"],
                "ShortenUrls": ["false"],
                "SendAsMms": ["true"],
                "RiskCheck": ["disable"],
            },
        ),
    ],
)
def test_content_and_options_go_out_as_they_are_stored(
    script: Script, gateway: TwilioGateway, content: dict[str, Any], sent: dict[str, list[str]]
) -> None:
    script.answer(201, message())

    gateway.submit(replace(OUTBOUND, **content))

    form = script.requests[0].form
    always = {"To", "From", "StatusCallback"}
    assert {name: values for name, values in form.items() if name not in always} == sent
