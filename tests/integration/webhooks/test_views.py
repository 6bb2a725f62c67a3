"""Subscriptions and deliveries over the API."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import select
from werkzeug.test import TestResponse

from smsapp.config import Settings
from smsapp.ids import parse_id
from smsapp.keys.models import DEFAULT_APPLICATION
from smsapp.webhooks import schemas
from smsapp.webhooks import subscription_queries as subscriptions
from smsapp.webhooks.models import WebhookDelivery
from smsapp.webhooks.push import push_events
from tests.support import consumer as behaviours
from tests.support.consumer import Consumer, refuse
from tests.support.environment import make_settings
from tests.support.web import TO, Api, faults, problem, serving

URL = "https://consumer.example.com/events"
PATH = "/sms/subscriptions"
UNKNOWN = "sub_" + "0" * 32


@pytest.fixture
def settings(database_url: str, redis_url: str) -> Settings:
    """Settings that let consumers be on this machine."""
    return make_settings(
        database_url=database_url,
        redis_url=redis_url,
        push_allow_http=True,
        push_allowed_networks=("127.0.0.1/32",),
    )


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def subscribe(api: Api, **fields: Any) -> dict[str, Any]:
    """Subscribe and return the answer."""
    response = api.post({"url": URL} | fields, path=PATH)
    assert response.status_code == 201, response.text
    schemas.SubscriptionWithSecret.model_validate_json(response.data)
    answer: dict[str, Any] = response.json
    return answer


def call(api: Api, method: str, path: str, document: Any = None) -> TestResponse:
    """Make any other request."""
    return api.client.open(path, method=method, json=document, headers={"Authorization": f"Bearer {api.key}"})


def test_the_secret_is_shown_once(api: Api) -> None:
    made = subscribe(api, description="mine", event_types=["message.delivered"], tags=["a"])

    shown = api.get(f"{PATH}/{made['id']}")
    schemas.Subscription.model_validate_json(shown.data)
    assert made["secret"].startswith("whsec_")
    assert shown.json == {name: value for name, value in made.items() if name != "secret"}
    assert made["secret"] not in api.get(PATH).text


def test_values_of_headers_are_not_shown(api: Api) -> None:
    made = subscribe(api, headers={"Authorization": "Basic abc", "X-Tenant": "7"})

    assert made["headers"] == {"Authorization": "***", "X-Tenant": "***"}


def test_a_repeated_request_makes_one_subscription(api: Api) -> None:
    first, second = (api.post({"url": URL}, path=PATH, headers={"Idempotency-Key": "k"}) for _ in range(2))
    other = api.post({"url": URL + "2"}, path=PATH, headers={"Idempotency-Key": "k"})

    assert first.json == second.json
    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.headers["Location"] == f"{PATH}/{first.json['id']}"
    problem(other, 422, "idempotency_key_reused")
    assert len(api.get(PATH).json["data"]) == 1


@pytest.mark.parametrize(
    ("fields", "pointer", "code"),
    [
        ({"url": None}, "/url", "wrong_type"),
        ({"url": "nonsense"}, "/url", "invalid"),
        ({"url": "ftp://example.com"}, "/url", "invalid"),
        ({"url": "https://user@example.com"}, "/url", "invalid"),
        ({"url": "https://10.0.0.1/"}, "/url", "invalid"),
        ({"url": "https://[::ffff:169.254.169.254]/"}, "/url", "invalid"),
        ({"event_types": ["message.exploded"]}, "/event_types/0", "invalid"),
        ({"event_types": []}, "/event_types", "too_short"),
        ({"tags": [""]}, "/tags/0", "too_short"),
        ({"headers": {"Host": "x"}}, "/headers/Host/[key]", "invalid"),
        ({"headers": {"webhook-id": "x"}}, "/headers/webhook-id/[key]", "invalid"),
        ({"headers": {"X-A": "a\r\nX-B: b"}}, "/headers/X-A", "invalid"),
        ({"colour": "red"}, "/colour", "unknown_field"),
        ({"description": "x" * 256}, "/description", "too_long"),
    ],
)
def test_faults_are_named(api: Api, fields: dict[str, Any], pointer: str, code: str) -> None:
    response = api.post({"url": URL} | fields, path=PATH)

    found = faults(response)
    assert {name.removesuffix("/[key]"): kind for name, kind in found.items()} == {
        pointer.removesuffix("/[key]"): code
    }


def test_http_needs_to_be_allowed(database_url: str, redis_url: str, api_key: str) -> None:
    with serving(make_settings(database_url=database_url, redis_url=redis_url), api_key) as api:
        for url in ("http://example.com/", "https://127.0.0.1/"):
            assert faults(api.post({"url": url}, path=PATH)) == {"/url": "invalid"}
            refused = api.post({"to": TO, "body": "x", "callback_url": url})
            assert faults(refused) == {"/callback_url": "invalid"}


def test_what_is_named_is_changed_and_nothing_else(api: Api) -> None:
    made = subscribe(api, tags=["a"], description="mine")

    changed = call(api, "PATCH", f"{PATH}/{made['id']}", {"tags": None, "enabled": False})

    assert changed.status_code == 200
    assert (changed.json["tags"], changed.json["description"]) == (None, "mine")
    assert (changed.json["enabled"], changed.json["disabled_reason"]) == (False, "by_caller")
    again = call(api, "PATCH", f"{PATH}/{made['id']}", {"enabled": True}).json
    assert (again["enabled"], again["disabled_at"], again["disabled_reason"]) == (True, None, None)


@pytest.mark.parametrize(
    "document", [{"url": None}, {"enabled": None}, {"secret": "x"}, {"url": "http://10.0.0.1"}]
)
def test_a_faulty_change_changes_nothing(api: Api, document: dict[str, Any]) -> None:
    made = subscribe(api)

    assert call(api, "PATCH", f"{PATH}/{made['id']}", document).status_code == 400
    assert api.get(f"{PATH}/{made['id']}").json["url"] == URL


def test_a_deleted_one_is_gone(api: Api) -> None:
    made = subscribe(api)

    assert call(api, "DELETE", f"{PATH}/{made['id']}").status_code == 204
    assert call(api, "DELETE", f"{PATH}/{made['id']}").status_code == 404
    assert api.get(PATH).json["data"] == []


def test_lists_come_in_pages(api: Api) -> None:
    ids = [subscribe(api)["id"] for _ in range(5)]
    found: list[str] = []
    path: str | None = f"{PATH}?limit=2"
    while path:
        page = api.client.get(path, headers={"Authorization": f"Bearer {api.key}"})
        schemas.SubscriptionList.model_validate_json(page.data)
        found += [each["id"] for each in page.json["data"]]
        path = page.headers["Link"].split(">")[0][1:] if page.json["has_more"] else None

    assert found == ids


@pytest.mark.parametrize(
    ("method", "path", "document", "code"),
    [
        ("GET", f"{PATH}/{UNKNOWN}", None, "subscription_not_found"),
        ("GET", f"{PATH}/nonsense", None, "subscription_not_found"),
        ("PATCH", f"{PATH}/{UNKNOWN}", {}, "subscription_not_found"),
        ("DELETE", f"{PATH}/{UNKNOWN}", None, "subscription_not_found"),
        ("POST", f"{PATH}/{UNKNOWN}/rotate", {}, "subscription_not_found"),
        ("POST", f"{PATH}/{UNKNOWN}/recover", {"since": "2026-01-01T00:00:00Z"}, "subscription_not_found"),
        ("POST", f"{PATH}/{UNKNOWN}/test", {}, "subscription_not_found"),
        ("GET", f"{PATH}/{UNKNOWN}/deliveries", None, "subscription_not_found"),
        ("GET", "/sms/deliveries/dlv_" + "0" * 32, None, "delivery_not_found"),
        ("POST", "/sms/deliveries/dlv_" + "0" * 32 + "/resend", None, "delivery_not_found"),
        ("GET", "/sms/messages/msg_" + "0" * 32 + "/deliveries", None, "message_not_found"),
    ],
)
def test_what_is_not_there_is_404(api: Api, method: str, path: str, document: Any, code: str) -> None:
    problem(call(api, method, path, document), 404, code)


def test_nothing_can_be_sent_to_a_disabled_one(api: Api) -> None:
    made = subscribe(api)
    call(api, "PATCH", f"{PATH}/{made['id']}", {"enabled": False})

    for action, document in (("test", {}), ("recover", {"since": "2026-01-01T00:00:00Z"})):
        problem(call(api, "POST", f"{PATH}/{made['id']}/{action}", document), 409, "subscription_disabled")


@pytest.mark.parametrize("cursor", ["", "nonsense", "msg_" + "0" * 32])
def test_a_cursor_that_is_none_is_refused(api: Api, cursor: str) -> None:
    assert faults(api.get(PATH, cursor=cursor)) == {"?cursor": "invalid"}


def test_an_unknown_filter_is_refused(api: Api) -> None:
    made = subscribe(api)

    assert faults(api.get(f"{PATH}/{made['id']}/deliveries", colour="red")) == {"?colour": "unknown_field"}
    assert faults(api.get(f"{PATH}/{made['id']}/deliveries", status="red")) == {"?status": "invalid"}


def test_deliveries_and_their_attempts_can_be_read(api: Api) -> None:
    with Consumer(refuse(500, b"broken")) as consumer:
        made = subscribe(api, url=consumer.url)
        message = api.send(callback_url=consumer.url)
        push_events(api.worker_rt)

        [owed] = api.get(f"{PATH}/{made['id']}/deliveries", status="pending").json["data"]
        shown = api.get(f"/sms/deliveries/{owed['id']}")
        schemas.DeliveryDetail.model_validate_json(shown.data)
        assert shown.json["message_id"] == message["id"]
        assert (shown.json["attempts"], shown.json["status_code"]) == (1, 500)
        assert [(each["number"], each["response"]) for each in shown.json["attempt_list"]] == [(1, "broken")]

        both = api.get(f"/sms/messages/{message['id']}/deliveries").json["data"]
        assert {each["url"] for each in both} == {None, consumer.url}
        assert message["callback_url"] == consumer.url

        consumer.behave = behaviours.accept
        again = call(api, "POST", f"/sms/deliveries/{owed['id']}/resend")
        assert again.status_code == 202
        schemas.Delivery.model_validate_json(again.data)
        push_events(api.worker_rt)
        assert api.get(f"/sms/deliveries/{owed['id']}").json["status"] == "delivered"
        assert api.get(f"{PATH}/{made['id']}/deliveries", status="failed").json["data"] == []


def test_what_came_of_a_callback_url_is_shown_and_not_changed(api: Api) -> None:
    with Consumer(behaviours.accept) as consumer:
        api.send(callback_url=consumer.url)
        push_events(api.worker_rt)
    [shown] = api.get(PATH).json["data"]

    assert (shown["kind"], shown["url"]) == ("callback", consumer.url.removesuffix("/events"))
    problem(call(api, "DELETE", f"{PATH}/{shown['id']}"), 404, "subscription_not_found")
    problem(call(api, "POST", f"{PATH}/{shown['id']}/rotate", {}), 404, "subscription_not_found")
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    assert call(api, "POST", f"{PATH}/{shown['id']}/recover", {"since": since}).status_code == 202


@pytest.mark.parametrize("since", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"])
def test_events_can_be_recovered_since_any_time(api: Api, since: str) -> None:
    made = subscribe(api)
    api.send()

    assert call(api, "POST", f"{PATH}/{made['id']}/recover", {"since": since}).status_code == 202


def test_an_example_is_owed_and_the_answer_says_where_to_look(api: Api) -> None:
    made = subscribe(api)

    response = call(api, "POST", f"{PATH}/{made['id']}/test", {"event_type": "message.failed"})

    assert response.status_code == 202
    assert response.json["event_type"] == "message.failed"
    assert api.get(response.headers["Location"]).json["id"] == response.json["id"]
    with api.rt.sessions() as session:
        assert session.scalars(select(WebhookDelivery.seq)).all() == [None]


def test_a_rotated_secret_is_shown_once_and_the_former_named_no_more(api: Api) -> None:
    made = subscribe(api)

    rotated = call(api, "POST", f"{PATH}/{made['id']}/rotate", {"overlap_s": 60})

    assert rotated.status_code == 200
    assert rotated.json["secret"] != made["secret"]
    assert rotated.json["former_secret_until"] > rotated.json["updated_at"]
    subscription_id = parse_id(made["id"], "sub")
    assert subscription_id
    with api.rt.sessions() as session:
        stored = subscriptions.get(session, DEFAULT_APPLICATION, subscription_id)
        assert stored is not None
        assert (stored.secret, stored.former_secret) == (rotated.json["secret"], made["secret"])
