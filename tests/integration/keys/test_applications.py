"""Two applications in one installation: neither sees, hears of or changes what the other's keys made."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from werkzeug.test import TestResponse

from smsapp.bulk.feed import feed_jobs
from smsapp.config import Settings
from smsapp.events.types import EventType
from smsapp.ids import inbound_id, new_id, parse_id
from smsapp.inbound.models import InboundMessage
from smsapp.keys import application_queries as applications
from smsapp.keys import queries as api_keys
from smsapp.ports import PendingEvent
from smsapp.webhooks.push import push_events
from smsapp.webhooks.record import disable
from tests.support import consumer as behaviours
from tests.support.consumer import Consumer
from tests.support.environment import make_settings
from tests.support.operations import CREATES, EMPTY, NO_KEY, NOT_FOUND, OPERATIONS, SHARED, SINCE
from tests.support.web import TO, Api, problem, serving


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
def ours(settings: Settings, api_key: str) -> Iterator[Api]:
    """A caller of the application `default`."""
    with serving(settings, api_key) as api:
        yield api


@pytest.fixture
def theirs(ours: Api) -> Api:
    """A caller of another application."""
    return Api(ours.app, new_key(ours, "other"))


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    """A well-behaved consumer."""
    with Consumer(behaviours.accept) as consumer:
        yield consumer


@pytest.fixture
def other_consumer() -> Iterator[Consumer]:
    """Another one."""
    with Consumer(behaviours.accept) as consumer:
        yield consumer


def new_key(api: Api, application: str) -> str:
    """Return a new key of an application, which is made if there is none."""
    with api.rt.transaction() as tx:
        now = api.rt.clock()
        owner = applications.named(tx.session, application)
        if owner is None:
            made = applications.add(tx.session, application, now=now)
            assert made
            owner = made.id
        return api_keys.issue(tx.session, "key", mode="live", application_id=owner, now=now)


def made(response: TestResponse) -> dict[str, Any]:
    """Return what was made."""
    assert response.status_code in {201, 202}, response.text
    document: dict[str, Any] = response.json
    return document


def subscribe(api: Api, url: str = "https://consumer.example.com/", **fields: Any) -> dict[str, Any]:
    """Subscribe to all events."""
    return made(api.post({"url": url} | fields, path="/sms/subscriptions"))


def call(api: Api, name: str, ids: dict[str, str], body: Any = None) -> TestResponse:
    """Call an operation of the API."""
    method, path = OPERATIONS[name]
    return api.client.open(
        path.format(**ids), method=method, json=body, headers={"Authorization": f"Bearer {api.key}"}
    )


def all_kinds(api: Api) -> dict[str, str]:
    """Make one of each kind, and return the ids by the names of path parameters."""
    subscription = subscribe(api)
    example = {"event_type": "message.delivered"}
    sent = api.post(example, path=f"/sms/subscriptions/{subscription['id']}/test")
    return {
        "message_id": api.send()["id"],
        "job_id": made(api.post({"body": "Hi", "rows": [{"to": TO}]}, path="/sms/jobs"))["id"],
        "template_name": made(api.post({"name": "greeting", "body": "Hi"}, path="/sms/templates"))["name"],
        "subscription_id": subscription["id"],
        "delivery_id": made(sent)["id"],
    }


def feed(api: Api) -> list[str]:
    """Return the types of all events that the caller reads."""
    return [each["type"] for each in api.get("/sms/events").json["data"]]


def test_every_route_has_a_rule_of_ownership() -> None:
    rules = [*NOT_FOUND, *EMPTY, *CREATES, *SHARED, *NO_KEY]

    assert sorted(rules) == sorted(OPERATIONS)


def test_what_belongs_to_another_application_is_not_found(ours: Api, theirs: Api) -> None:
    ids = all_kinds(ours)

    for name, body in NOT_FOUND.items():
        answer = call(theirs, name, ids, body)
        assert answer.status_code == 404, (name, answer.text)
        assert answer.json["code"].endswith("_not_found"), name
        unknown = {
            key: "nothing" if key == "template_name" else f"{value[:4]}{new_id().hex}"
            for key, value in ids.items()
        }
        assert answer.json["code"] == call(theirs, name, unknown, body).json["code"], name

    for name, body in NOT_FOUND.items():  # nothing was changed, and the owner may do all of it
        answer = call(ours, name, ids, body)
        assert answer.status_code in {200, 201, 202, 204} or answer.json["code"] == "wrong_job_state", name


def test_lists_have_only_what_is_the_callers(ours: Api, theirs: Api) -> None:
    all_kinds(ours)

    for name in EMPTY:
        assert call(theirs, name, {}).json["data"] == [], name
        assert call(ours, name, {}).json["data"], name


def test_no_filter_reaches_further(ours: Api, theirs: Api) -> None:
    job = made(ours.post({"body": "Hi", "start": True, "rows": [{"to": TO}]}, path="/sms/jobs"))["id"]
    feed_jobs(ours.rt, idle_s=0.3)
    sent = ours.send(client_reference="order-7", tags=["spring"])
    subscription = subscribe(theirs)

    assert len(ours.get("/sms/messages", job_id=job).json["data"]) == 1
    assert theirs.get("/sms/messages", job_id=job).json["data"] == []
    assert theirs.get("/sms/messages", client_reference="order-7").json["data"] == []
    assert theirs.get("/sms/events", tags="spring").json["data"] == []
    assert theirs.get(f"/sms/subscriptions/{subscription['id']}/deliveries").json["data"] == []
    problem(theirs.get(f"/sms/messages/{sent['id']}", wait=5), 404, "message_not_found")


def test_keys_of_one_application_share_everything(ours: Api) -> None:
    ids = all_kinds(ours)
    colleague = Api(ours.app, new_key(ours, applications.DEFAULT_NAME))

    for name in ("getMessage", "getJob", "getTemplate", "getSubscription", "getDelivery"):
        assert call(colleague, name, ids).status_code == 200, name


def test_names_of_templates_are_the_applications_own(ours: Api, theirs: Api) -> None:
    made(ours.post({"name": "greeting", "body": "Hi from us"}, path="/sms/templates"))
    by_template = {"to": TO, "template": "greeting"}
    rows = {"template": "greeting", "rows": [{"to": TO}]}

    problem(theirs.post(by_template), 400, "invalid_request")
    problem(theirs.post(rows, path="/sms/jobs"), 400, "invalid_request")
    made(theirs.post({"name": "greeting", "body": "Hi from them"}, path="/sms/templates"))
    made(theirs.post({"body": "Hi again from them"}, path="/sms/templates/greeting/versions"))

    assert made(ours.post(by_template))["body"] == "Hi from us"
    assert made(theirs.post(by_template))["body"] == "Hi again from them"
    assert call(theirs, "deleteTemplate", {"template_name": "greeting"}).status_code == 204
    assert call(ours, "getTemplate", {"template_name": "greeting"}).json["version"] == 1


def test_events_go_to_their_application_and_shared_ones_to_all(ours: Api, theirs: Api) -> None:
    job = {"body": "Hi", "start": True, "rows": [{"to": "nobody"}]}
    made(ours.post(job, path="/sms/jobs"))
    feed_jobs(ours.rt, idle_s=0.3)
    theirs.send()
    mine = subscribe(theirs)
    with ours.rt.transaction() as tx:
        wanted = parse_id(mine["id"], "sub")
        assert wanted
        disable(tx, wanted, mine["url"], "gone", now=ours.rt.clock())
    theirs.post({"recipient": "+14155552672", "note": "asked"}, path="/sms/suppressions")

    assert feed(ours) == ["job.completed", "recipient.opted_out"]
    assert feed(theirs) == ["message.accepted", "endpoint.disabled", "recipient.opted_out"]


def test_a_page_of_the_feed_is_full_of_the_callers_events(ours: Api, theirs: Api) -> None:
    for _ in range(3):
        ours.send()
        theirs.send()

    first = theirs.get("/sms/events", limit=2).json
    second = theirs.get("/sms/events", limit=2, after=first["next_after"]).json

    assert [len(page["data"]) for page in (first, second)] == [2, 1]


def test_a_subscription_is_told_only_of_its_application(
    ours: Api, theirs: Api, consumer: Consumer, other_consumer: Consumer
) -> None:
    subscribe(ours, consumer.url)
    late = subscribe(theirs, other_consumer.url)
    ours.send()
    theirs.post({"recipient": "+14155552672"}, path="/sms/suppressions")
    push_events(ours.worker_rt)
    made(theirs.post({"since": SINCE}, path=f"/sms/subscriptions/{late['id']}/recover"))
    push_events(ours.worker_rt)

    assert sorted(each["type"] for each in consumer.events) == ["message.accepted", "recipient.opted_out"]
    assert [each["type"] for each in other_consumer.events] == ["recipient.opted_out"]


def test_events_of_a_version_without_applications_are_for_the_first(ours: Api, theirs: Api) -> None:
    with ours.rt.transaction() as tx:
        tx.emit(PendingEvent(EventType.JOB_COMPLETED, new_id(), ours.rt.clock(), data={"id": "job_1"}))

    assert feed(ours) == ["job.completed"]
    assert feed(theirs) == []


def test_inbound_texts_are_everybodys(ours: Api, theirs: Api) -> None:
    text_id: UUID = new_id()
    with ours.rt.transaction() as tx:
        tx.session.add(
            InboundMessage(
                id=text_id,
                twilio_sid="SM" + "1" * 32,
                sender=TO,
                to="+15005550006",
                body="hi",
                payload={},
                received_at=ours.rt.clock(),
            )
        )

    for api in (ours, theirs):
        assert call(api, "getInboundMessage", {"inbound_id": inbound_id(text_id)}).status_code == 200


def test_who_suppressed_a_recipient_is_told_to_its_application_alone(ours: Api, theirs: Api) -> None:
    added = made(ours.post({"recipient": "+14155552672"}, path="/sms/suppressions"))

    ids = {"suppression_id": added["id"]}
    assert call(ours, "getSuppression", ids).json["history"][0]["by_key"] == ours.key[:14]
    assert call(theirs, "getSuppression", ids).json["history"][0]["by_key"] is None


def test_another_origin_gets_none_of_the_stored_headers(ours: Api, consumer: Consumer) -> None:
    secret = {"Authorization": "Basic c2VjcmV0"}
    same, moved, renewed = (
        subscribe(ours, f"https://consumer.example.com/{name}", headers=secret) for name in "abc"
    )

    def change(subscription: dict[str, Any], **values: Any) -> dict[str, Any]:
        ids = {"subscription_id": subscription["id"]}
        answer = call(ours, "changeSubscription", ids, values)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json
        return document

    assert change(same, url="https://consumer.example.com/elsewhere")["headers"] == {"Authorization": "***"}
    assert change(moved, url=consumer.url)["headers"] == {}
    assert change(renewed, url="https://other.example.com/", headers={"X-Own": "1"})["headers"] == {
        "X-Own": "***"
    }
    made(ours.post({"event_type": "message.delivered"}, path=f"/sms/subscriptions/{moved['id']}/test"))
    push_events(ours.worker_rt)
    assert ["authorization" in map(str.lower, each.headers) for each in consumer.seen] == [False]


def test_secrets_are_shown_at_creation_and_rotation_alone(ours: Api) -> None:
    ids = all_kinds(ours)
    with_secret = {"createSubscription", "rotateSecret"}

    for name in (
        "getSubscription",
        "changeSubscription",
        "recoverEvents",
        "rotateSecret",
        "listSubscriptions",
    ):
        answer = call(ours, name, ids, NOT_FOUND.get(name))
        assert ("whsec_" in answer.text) == (name in with_secret), name
