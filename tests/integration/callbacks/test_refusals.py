"""Refused callbacks: counted, explained, without anything personal, bounded, and never in the way of an answer."""

import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select
from structlog.testing import CapturingLogger

from simulator.signature import sign
from smsapp.callbacks import receiver
from smsapp.config import Settings
from smsapp.db import counters
from smsapp.ids import new_id
from smsapp.refusals import queries as refusals
from smsapp.refusals.models import RefusedCallback
from smsapp.refusals.note import RefusedCallbacks
from smsapp.refusals.rules import Refusal
from smsapp.retention.purge import forget_refusals
from smsapp.runtime import Runtime
from smsapp.twilio.diagnose import SignedAddress
from smsapp.web.plain_http import PlainRequest
from smsapp.web.wiring import provided
from tests.support.environment import AUTH_TOKEN, BASE_URL
from tests.support.fakes import FakeClock
from tests.support.web import Api, serving

FORM = [("MessageSid", "SM" + "1" * 32), ("To", "+14155552671"), ("Body", "your code is 123456")]
BODY = "&".join(f"{name}={value}".replace("+", "%2B").replace(" ", "+") for name, value in FORM)
MESSAGE = "msg_018f0000000070008000000000000001"
REFUSAL = Refusal("status", "signature_invalid", "/twilio/status", "http", "h", ["To"], "none")


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def post(api: Api, path: str, signature: str, body: str = BODY, **headers: str) -> int:
    given = {"X-Twilio-Signature": signature, "Content-Type": "application/x-www-form-urlencoded"} | headers
    return api.client.post(path, data=body, headers=given).status_code


def listed(api: Api, **query: Any) -> list[dict[str, Any]]:
    """Return what an operator sees once everything has been written."""
    provided(RefusedCallbacks, api.app).close()
    answer = api.get("/sms/callbacks/refused", **query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json["data"]
    return found


def test_a_callback_that_a_proxy_spoiled_is_explained(api: Api) -> None:
    path = f"/twilio/status/{MESSAGE}"
    signature = sign(AUTH_TOKEN, f"http://hooks.example{path}", FORM)

    status = post(api, path, signature, **{"X-Forwarded-Host": "hooks.example", "X-Forwarded-Proto": "https"})

    assert status == 403
    (refused,) = listed(api)
    assert refused["signed_url"] == f"http://hooks.example{path}"
    assert refused["differs"] == ["scheme", "host"]
    assert (refused["path"], refused["scheme"], refused["count"]) == (path, "https", 1)
    assert refused["parameters"] == ["Body", "MessageSid", "To"]
    assert refused["account"] == "none"
    assert "APP_BASE_URL" in refused["advice"]


def test_what_a_stranger_sends_is_kept_without_numbers_and_text(api: Api, rt: Runtime) -> None:
    path = "/twilio/status/+14155552671?Body=secret"
    body = "yourcodeis=1&Body=secret&14155552671=x&To=%2B14155552671"

    assert (
        post(api, path, "x" * 27 + "=", body, Host="14155552671.example", **{"X-Forwarded-Proto": "secret"})
        == 403
    )

    (refused,) = listed(api)
    assert (refused["path"], refused["host"], refused["scheme"]) == ("/twilio/status/…?…", "…", "other")
    assert refused["parameters"] == ["Body", "To", "…"]
    with rt.sessions() as session:
        rows = [vars(row) for row in session.scalars(select(RefusedCallback))]
    kept = json.dumps([{k: str(v) for k, v in row.items() if k not in {"id", "fingerprint"}} for row in rows])
    assert "4155552671" not in kept
    assert "secret" not in kept
    assert "yourcode" not in kept


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"signature": ""}, "signature_missing"),
        ({"signature": "short"}, "signature_invalid"),
        ({"content_type": "application/json"}, "unsupported_media_type"),
        ({"body": "a=%FF"}, "malformed_form"),
        ({"body": "a=" + "x" * receiver.MAX_BODY_BYTES}, "too_large"),
    ],
)
def test_each_reason_is_kept(api: Api, change: dict[str, str], reason: str) -> None:
    signature = change.get("signature", "x" * 27 + "=")
    content_type = change.get("content_type", "application/x-www-form-urlencoded")

    post(api, "/twilio/inbound", signature, change.get("body", BODY), **{"Content-Type": content_type})

    (refused,) = listed(api, reason=reason)
    assert refused["kind"] == "inbound"
    assert refused["advice"]


def test_an_account_that_is_not_ours_is_kept_with_what_to_do(api: Api) -> None:
    form = [("AccountSid", "AC" + "f" * 32)]
    signature = sign(AUTH_TOKEN, BASE_URL + "/twilio/status", form)

    post(api, "/twilio/status", signature, f"AccountSid={form[0][1]}")

    (refused,) = listed(api)
    assert (refused["reason"], refused["account"]) == ("account_unknown", "other")
    assert "TWILIO_SUBACCOUNT_SIDS" in refused["advice"]


def test_a_flood_is_counted_on_few_rows(api: Api, rt: Runtime) -> None:
    for _ in range(300):
        post(api, "/twilio/status", "x" * 27 + "=")

    found = listed(api)
    assert sum(each["count"] for each in found) == 300
    assert len(found) == 1
    with rt.sessions() as session:
        assert counters.read(session)["callbacks_refused:signature_invalid"] == 300


def test_a_flood_costs_its_requests_nothing(rt: Runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    analysed = []
    monkeypatch.setattr("smsapp.refusals.note.find_signed_address", lambda *_a, **_k: analysed.append(1))
    log = CapturingLogger()
    monkeypatch.setattr("smsapp.refusals.note.log", log)
    refused = RefusedCallbacks(rt, every_s=60)
    request = PlainRequest("/twilio/status", "/twilio/status", {"x-twilio-signature": "x" * 28}, b"a=1")

    for _ in range(10_000):
        refused.note("status", "signature_invalid", request, new_id())
    refused.close()

    assert len(analysed) <= 2
    lines = [call.kwargs for call in log.calls if call.args == ("callback_refused",)]
    assert len(lines) <= 2
    assert sum(line["count"] for line in lines) == 10_000


def test_a_database_that_is_away_delays_no_answer_and_breaks_nothing(rt: Runtime, settings: Settings) -> None:
    nowhere = settings.model_copy(update={"database_url": "postgresql+psycopg://x:y@127.0.0.1:1/none"})

    with serving(nowhere) as api:
        assert post(api, "/twilio/status", "x" * 27 + "=") == 403
        provided(RefusedCallbacks, api.app).close()


def test_rows_are_bounded_and_those_that_explain_something_stay(rt: Runtime) -> None:
    with rt.transaction() as tx:
        telling = Refusal(**{**_fields(REFUSAL), "signed": SignedAddress("https://h", ("host",))})
        refusals.add(tx.session, telling, count=1, now=rt.clock())
        for number in range(30):
            at = rt.clock() + timedelta(seconds=number + 1)
            refusals.add(tx.session, Refusal(**{**_fields(REFUSAL), "host": f"h{number}"}), count=1, now=at)
        refusals.bound(tx.session, limit=10)

    with rt.sessions() as session:
        hosts = [row.host for row in refusals.find(session, limit=100)]
    assert hosts == [*(f"h{number}" for number in range(29, 20, -1)), "h"]


def test_after_a_week_they_are_removed(rt: Runtime, clock: FakeClock) -> None:
    with rt.transaction() as tx:
        refusals.add(tx.session, REFUSAL, count=1, now=clock())
    clock.advance(timedelta(days=6))
    assert forget_refusals(rt) == 0

    clock.advance(timedelta(days=2))

    assert forget_refusals(rt) == 1
    assert forget_refusals(rt) == 0


def test_the_list_is_read_in_pages(api: Api, rt: Runtime) -> None:
    for number in range(5):
        with rt.transaction() as tx:
            changed = Refusal(**{**_fields(REFUSAL), "host": f"h{number}"})
            refusals.add(tx.session, changed, count=1, now=rt.clock())

    seen, cursor = [], None
    while True:
        query = {"limit": 2} | ({"cursor": cursor} if cursor else {})
        page = api.get("/sms/callbacks/refused", **query).json
        seen += [each["host"] for each in page["data"]]
        cursor = page["next_cursor"]
        if not cursor:
            break

    assert seen == ["h4", "h3", "h2", "h1", "h0"]
    assert api.client.get("/sms/callbacks/refused").status_code == 401


def test_a_check_is_verified_and_has_no_effect(api: Api, rt: Runtime) -> None:
    form = [("AccountSid", "AC" + "0" * 32), ("MessageSid", "SM" + "1" * 32), ("MessageStatus", "delivered")]
    body = "&".join(f"{name}={value}" for name, value in form)

    assert post(api, "/twilio/check", sign(AUTH_TOKEN, BASE_URL + "/twilio/check", form), body) == 204
    assert post(api, "/twilio/check", sign(AUTH_TOKEN, BASE_URL + "/twilio/status", form), body) == 403
    assert post(api, "/twilio/check", "", body) == 403
    assert rt.stream.length() == 0


def _fields(refusal: Refusal) -> dict[str, Any]:
    return {name: getattr(refusal, name) for name in Refusal.__dataclass_fields__}
