"""What Twilio posts to us: taken exactly as it is when it is Twilio's, and refused when it is not."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest
from redis import Redis
from werkzeug.test import TestResponse

from simulator.signature import sign
from smsapp.callbacks.receiver import MAX_BODY_BYTES
from smsapp.config import Settings
from smsapp.runtime import Runtime
from smsapp.twilio.callback import Callback
from tests.support.environment import BASE_URL, make_settings
from tests.support.vectors import (
    CALLBACK_SAMPLES,
    OBSERVED_HEADERS,
    TOKEN,
    VECTORS,
    body_of,
    pairs,
    split_url,
)
from tests.support.web import Api, problem, serving

MESSAGE = "018f0000-0000-7000-8000-000000000001"
FORM = [("MessageSid", "SM" + "1" * 32), ("MessageStatus", "delivered")]
NEW_TOKEN = "f" * 32
CALLERS = 60

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)  # none of these reaches it


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    return make_settings(
        database_url=database_url,
        redis_url=redis_url,
        twilio_account_sid="AC" + "0" * 32,
        twilio_auth_token=(TOKEN, NEW_TOKEN),
    )


@pytest.fixture
def api(settings: Settings) -> Iterator[Api]:
    with serving(settings) as api:
        yield api


def post(
    api: Api,
    path: str = "/twilio/status",
    body: str | bytes = "",
    signature: str | None = None,
    raw_target: str | None = None,
    **headers: str,
) -> TestResponse:
    """Post a body as it is; `raw_target` is what stood in the request line, where the client would tidy it up."""
    content_type = headers.pop("content_type", OBSERVED_HEADERS["Content-Type"])
    given = OBSERVED_HEADERS | {"X-Twilio-Signature": signature or ""} | headers
    environ = {"RAW_URI": raw_target, "REQUEST_URI": raw_target} if raw_target else None
    return api.client.post(
        path,
        data=body,
        content_type=content_type,
        headers={
            name: value for name, value in given.items() if name not in {"Host", "Content-Type"} and value
        },
        environ_overrides=environ,
    )


def post_signed(
    api: Api, target: str = "/twilio/status", form: Any = FORM, token: str = TOKEN
) -> TestResponse:
    body = "&".join(f"{name}={value}" for name, value in form)
    return post(api, urlsplit(target).path, body, sign(token, BASE_URL + target, form), raw_target=target)


def taken(rt: Runtime) -> list[Callback]:
    """Return what a worker would get."""
    callbacks = [entry.callback for entry in rt.stream.read(100)]
    assert all(callbacks)
    return [callback for callback in callbacks if callback]


@pytest.mark.parametrize("sample", CALLBACK_SAMPLES, ids=lambda sample: sample["name"])
def test_a_sample_is_taken_exactly_as_it_came(api: Api, rt: Runtime, sample: dict[str, Any]) -> None:
    path, body = urlsplit(sample["url"]).path, body_of(sample)
    inbound = path == "/twilio/inbound"

    answer = post(api, path, body, sample["signature"], content_type=sample["content_type"])

    assert answer.status_code == (200 if inbound else 204)
    (callback,) = taken(rt)
    assert callback.body == body
    assert (callback.kind, callback.target) == (("inbound", None) if inbound else ("status", MESSAGE))
    assert callback.idempotency_token == OBSERVED_HEADERS["I-Twilio-Idempotency-Token"]


def test_a_status_callback_is_answered_with_nothing(api: Api) -> None:
    answer = post_signed(api)

    assert (answer.status_code, answer.data, answer.content_type) == (204, b"", None)


def test_an_inbound_text_is_answered_with_empty_twiml(api: Api) -> None:
    answer = post_signed(api, "/twilio/inbound", [("MessageSid", "SM1"), ("Body", "STOP")])

    assert (answer.status_code, answer.content_type) == (200, "text/xml")
    assert answer.data == b'<?xml version="1.0" encoding="UTF-8"?><Response/>'


def test_somebody_is_woken_once_for_many_callbacks(api: Api, settings: Settings) -> None:
    for _ in range(5):
        post_signed(api)

    with Redis.from_url(settings.redis_url) as redis:
        assert redis.llen("track") == 1


def test_callbacks_at_the_same_moment_are_all_taken_once(api: Api, rt: Runtime) -> None:
    barrier = threading.Barrier(CALLERS)

    def one(number: int) -> int:
        barrier.wait()
        return post_signed(api, form=[("MessageSid", f"SM{number}")]).status_code

    with ThreadPoolExecutor(CALLERS) as threads:
        statuses = set(threads.map(one, range(CALLERS)))

    assert statuses == {204}
    assert sorted(callback.body for callback in taken(rt)) == sorted(
        f"MessageSid=SM{n}" for n in range(CALLERS)
    )


@pytest.mark.parametrize("path", ["/twilio/status", f"/twilio/status/{MESSAGE}", "/twilio/inbound"])
def test_without_a_signature_nothing_is_taken(api: Api, rt: Runtime, path: str) -> None:
    problem(post(api, path, "MessageStatus=delivered"), 403, "signature_missing")
    assert taken(rt) == []


def test_a_forged_callback_is_refused(api: Api, rt: Runtime) -> None:
    path, body = f"/twilio/status/{MESSAGE}", "MessageStatus=delivered&To=%2B1415"
    form = [("MessageStatus", "delivered"), ("To", "+1415")]
    right = sign(TOKEN, BASE_URL + path, form)
    assert post(api, path, body, right).status_code == 204
    assert len(taken(rt)) == 1

    forgeries = {
        "another signature": post(api, path, body, "RSOYDt4T1cUTdK1PDd93/VVr8B8="),
        "a cut signature": post(api, path, body, right[:-1]),
        "a changed value": post(api, path, body.replace("delivered", "failed"), right),
        "an added parameter": post(api, path, f"{body}&ErrorCode=30003", right),
        "an added blank": post(api, path, f"{body}&X=", right),
        "a missing parameter": post(api, path, "MessageStatus=delivered", right),
        "no parameters": post(api, path, "", right),
        "another message": post(api, path.replace("001", "002"), body, right),
        "no message": post(api, "/twilio/status", body, right),
        "the other door": post(api, "/twilio/inbound", body, right),
        "an added query": post(api, f"{path}?x=1", body, right),
        "another host": post(api, path, body, sign(TOKEN, f"https://other.example.test{path}", form)),
        "plain http": post(api, path, body, sign(TOKEN, f"http://sms.example.test{path}", form)),
        "another token": post(api, path, body, sign("0" * 31 + "1", BASE_URL + path, form)),
        "a parameter of the query moved": post(api, path, body, sign(TOKEN, f"{BASE_URL}{path}?{body}", [])),
    }

    for name, answer in forgeries.items():
        assert problem(answer, 403, "signature_invalid"), name
    assert taken(rt) == []


def test_during_a_rotation_both_tokens_count(api: Api, rt: Runtime) -> None:
    answers = [post_signed(api, token=token) for token in (TOKEN, NEW_TOKEN, "1" * 32)]

    assert [answer.status_code for answer in answers] == [204, 204, 403]
    assert len(taken(rt)) == 2


@pytest.mark.parametrize(
    "target",
    [
        "/twilio/status?x=1&y=",
        "/twilio/status?",
        "/twilio/status?x=%2F%2f&plus=+&tilde=~",
        "/twilio/status/msg%5F018f00000000700080000000000000aa",
        "/twilio/status/a;b=c,d:e@f!$&'()*+",
        "/twilio/status/%C3%A4%20%25",
        f"/twilio/status/{'x' * 64}",
        "/%74wilio/status",
        "/twilio/inbound?x=%00",
    ],
)
def test_the_address_is_checked_as_it_was_written(api: Api, rt: Runtime, target: str) -> None:
    assert post_signed(api, target).status_code in {200, 204}
    assert len(taken(rt)) == 1


@pytest.mark.parametrize(
    ("signed", "requested"),
    [
        ("/twilio/status/a%2Db", "/twilio/status/a-b"),
        ("/twilio/status?x=%2f", "/twilio/status?x=%2F"),
        ("/twilio/status?x=+", "/twilio/status?x=%20"),
        ("/twilio/status?a=1&b=2", "/twilio/status?b=2&a=1"),
        ("/twilio/status", "/twilio/status?"),
    ],
)
def test_an_address_that_only_means_the_same_is_another_one(api: Api, signed: str, requested: str) -> None:
    signature = sign(TOKEN, BASE_URL + signed, FORM)
    body = "&".join(f"{name}={value}" for name, value in FORM)

    answer = post(api, urlsplit(requested).path, body, signature, raw_target=requested)

    # The official validator itself drops an empty query.
    assert answer.status_code == (204 if requested.endswith("?") else 403)


@pytest.mark.parametrize(
    "form",
    [
        [("Digits", "2"), ("Digits", "1"), ("Digits", "1"), ("SidAccount", "AC1"), ("Sid", "CA1")],
        [("MessageStatus", "sent"), ("EmptyParam", "")],
        [("MessageStatus", "sent"), ("", "nameless")],
        [("b", "1"), ("a", "2"), ("B", "3")],
    ],
    ids=["repeats", "blank", "nameless", "order"],
)
def test_odd_forms_are_taken_as_they_came(api: Api, rt: Runtime, form: list[tuple[str, str]]) -> None:
    assert post_signed(api, form=form).status_code == 204
    assert taken(rt)[0].body == "&".join(f"{name}={value}" for name, value in form)


def test_characters_of_every_kind_arrive(api: Api, rt: Runtime) -> None:
    form = [("Body", "ä€😀 +%&=\n\x00"), ("To", "+1415")]
    body = "Body=%C3%A4%E2%82%AC%F0%9F%98%80+%2B%25%26%3D%0A%00&To=%2B1415"

    assert (
        post(api, "/twilio/inbound", body, sign(TOKEN, f"{BASE_URL}/twilio/inbound", form)).status_code == 200
    )
    assert taken(rt)[0].body == body


def test_the_headers_of_a_shared_key_or_a_proxy_choose_nothing(api: Api, rt: Runtime) -> None:
    (vector,) = [vector for vector in VECTORS if vector["id"] == "derived-hmac-sha256-sharedkey"]
    base, target = split_url(vector["url"])
    settings = api.rt.settings.model_copy(
        update={
            "app_base_url": base,
            "twilio_auth_token": make_settings(twilio_auth_token="12345").twilio_auth_token,
        }
    )
    headers = {
        "X-Twilio-Webhooks-Signature-Settings": "key=k,algorithm=HMAC_SHA256",
        "X-Forwarded-Host": "mycompany.com",
        "X-Forwarded-Proto": "https",
    }
    body = "&".join(f"{name}={value}".replace("+", "%2B") for name, value in pairs(vector["params"]))

    with serving(settings) as shared:
        answer = post(shared, "/twilio/status", body, vector["signature"], raw_target=target, **headers)

    problem(answer, 403, "signature_invalid")
    assert taken(rt) == []


def test_json_is_not_what_twilio_posts_about_messages(api: Api) -> None:
    (vector,) = [vector for vector in VECTORS if vector["id"] == "py-json-bodySHA256"]

    answer = post(api, body=vector["body"], signature=vector["signature"], content_type="application/json")

    problem(answer, 415, "unsupported_media_type")


def test_a_body_of_48_kib_is_taken_and_a_larger_one_is_not(api: Api, rt: Runtime) -> None:
    filler = "x" * (MAX_BODY_BYTES - len("Body="))
    fits = post_signed(api, form=[("Body", filler)])
    too_large = post_signed(api, form=[("Body", filler + "x")])

    assert fits.status_code == 204
    problem(too_large, 413, "too_large")
    assert len(taken(rt)) == 1


@pytest.mark.parametrize(
    "body", [b"\xff=1", b"a=%FF", b"&".join([b"a=1"] * 101)], ids=["raw", "escaped", "long"]
)
def test_what_is_no_form_is_refused(api: Api, body: bytes) -> None:
    problem(post(api, body=body, signature="x" * 27 + "="), 400, "malformed_form")


@pytest.mark.parametrize(
    "signature", ["x", "x" * 28, "x" * 26 + "==", "-" * 27 + "=", "x" * 27 + "=\t=", "x" * 10_000]
)
def test_what_cannot_be_a_signature_is_refused_before_anything_else_is_looked_at(
    api: Api, signature: str
) -> None:
    answer = post(api, body=b"\xff=1", signature=signature, content_type="application/json")

    problem(answer, 403, "signature_invalid")


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH"])
@pytest.mark.parametrize("path", ["/twilio/status", f"/twilio/status/{MESSAGE}", "/twilio/inbound"])
def test_only_post_is_taken(api: Api, method: str, path: str) -> None:
    answer = api.client.open(path, method=method)

    problem(answer, 405, "method_not_allowed")
    assert "POST" in answer.headers["Allow"]


@pytest.mark.parametrize(
    "path", ["/twilio/status/", "/twilio/status/a/b", "/twilio/statusx", "/twilio/Status"]
)
def test_other_addresses_are_not_there_signed_or_not(api: Api, path: str) -> None:
    problem(post_signed(api, path), 404, "not_found")


@pytest.mark.parametrize("path", ["/twilio/status", f"/twilio/status/{MESSAGE}", "/twilio/inbound"])
def test_a_signed_callback_of_another_account_is_refused(api: Api, rt: Runtime, path: str) -> None:
    ours, listed, other = (f"AC{digit * 32}" for digit in "0ab")
    changed = api.rt.settings.model_copy(update={"twilio_subaccount_sids": (listed,)})

    with serving(changed) as listing:
        for account in (ours, listed, f"AC{listed[2:].upper()}"):
            assert post_signed(listing, path, [*FORM, ("AccountSid", account)]).status_code in {200, 204}
        for account in (other, "", f"{ours} "):
            answer = post_signed(listing, path, [*FORM, ("AccountSid", account)])
            problem(answer, 403, "account_unknown")
        twice = [*FORM, ("AccountSid", ours), ("AccountSid", other)]
        problem(post_signed(listing, path, twice), 403, "account_unknown")

    problem(post_signed(api, path, [*FORM, ("AccountSid", listed)]), 403, "account_unknown")
    assert len(taken(rt)) == 3


def test_a_signed_callback_that_names_no_account_is_taken(api: Api) -> None:
    assert post_signed(api).status_code == 204


def test_an_unsigned_callback_does_not_tell_which_account_is_ours(api: Api) -> None:
    for account in ("AC" + "0" * 32, "AC" + "b" * 32):
        answer = post_signed(api, form=[*FORM, ("AccountSid", account)], token="1" * 32)
        problem(answer, 403, "signature_invalid")
