"""What a key may do, and until when."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from werkzeug.test import TestResponse

from smsapp.config import Settings
from smsapp.ids import new_id
from smsapp.keys import queries as api_keys
from smsapp.keys.scopes import ALL, Scope, parsed, written
from smsapp.sending.endpoint import PATH
from smsapp.web.plain_http import EXTENSION, PlainRequest
from tests.support.fakes import FakeClock
from tests.support.operations import CREATES, EMPTY, NO_KEY, NOT_FOUND, OPERATIONS, SHARED
from tests.support.web import Api, problem, serving

SENDS = {
    "sendMessage",
    "cancelMessage",
    "createJob",
    "startJob",
    "pauseJob",
    "resumeJob",
    "cancelJob",
}
MANAGES = {
    "createTemplate",
    "createTemplateVersion",
    "deleteTemplate",
    "createSubscription",
    "changeSubscription",
    "deleteSubscription",
    "rotateSecret",
    "recoverEvents",
    "sendExample",
    "resendDelivery",
    "addSuppression",
    "liftSuppression",
    "importSuppressions",
    "eraseMessage",
    "listRefusedCallbacks",
}
WITH_KEY = sorted({*NOT_FOUND, *EMPTY, *CREATES, *SHARED} - NO_KEY)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def limited(api: Api, *scopes: Scope, **fields: Any) -> Api:
    """Return the API as the holder of a new key sees it."""
    with api.rt.transaction() as tx:
        now = api.rt.clock()
        return Api(api.app, api_keys.issue(tx.session, "k", mode="live", now=now, scopes=scopes, **fields))


def call(api: Api, name: str) -> TestResponse:
    """Call an operation about something that does not exist."""
    method, path = OPERATIONS[name]
    for parameter in ("message", "job", "template", "inbound", "suppression", "subscription", "delivery"):
        path = path.replace(f"{{{parameter}_id}}", f"{parameter}_{new_id().hex}")
    path = path.replace("{template_name}", "nothing")
    return api.client.open(path, method=method, json={}, headers={"Authorization": f"Bearer {api.key}"})


def scope_of(name: str) -> Scope:
    """Return the scope that an operation must need."""
    return Scope.SEND if name in SENDS else Scope.MANAGE if name in MANAGES else Scope.READ


@pytest.mark.parametrize("held", Scope)
def test_each_route_needs_its_scope_and_no_other(api: Api, held: Scope) -> None:
    one, others = limited(api, held), limited(api, *(ALL - {held}))

    for name in WITH_KEY:
        if scope_of(name) is held:
            assert call(one, name).status_code != 403, name
            found = problem(call(others, name), 403, "scope_missing")
            assert f"`{held}`" in found.detail, name
        else:
            problem(call(one, name), 403, "scope_missing")
            assert call(others, name).status_code != 403, name


def test_a_key_of_before_may_do_everything(api: Api) -> None:
    for name in WITH_KEY:
        assert call(api, name).status_code != 403, name


def test_a_word_of_a_later_version_allows_nothing() -> None:
    assert parsed("read reveal") == {Scope.READ}
    assert parsed(written(ALL)) == ALL


def test_an_expired_key_ends(api: Api) -> None:
    now = api.rt.clock()
    expired = limited(api, *ALL, expires_at=now - timedelta(seconds=1))
    lasting = limited(api, *ALL, expires_at=now + timedelta(days=1))

    problem(expired.get("/sms/messages"), 401, "unauthorized")
    assert lasting.get("/sms/messages").status_code == 200


def test_a_rotated_key_has_a_successor_with_its_rights_and_ends(api: Api, clock: FakeClock) -> None:
    now = clock()
    with api.rt.transaction() as tx:
        secret = api_keys.issue(
            tx.session,
            "shop",
            mode="test",
            now=now,
            quiet_hours="21:00-08:00",
            scopes=[Scope.SEND],
            expires_at=now + timedelta(days=90),
        )
    later = now + timedelta(days=30)
    with api.rt.transaction() as tx:
        successor = api_keys.rotate(tx.session, secret[:14], overlap=timedelta(hours=24), now=later)
    assert successor

    with api.rt.sessions() as session:
        new = api_keys.find_active(session, successor, now=later)
        assert new
        assert (new.name, new.mode, new.quiet_hours, new.scopes) == ("shop", "test", "21:00-08:00", "send")
        assert new.expires_at == later + timedelta(days=90)
        for age, works in ((23, True), (24, False)):
            at = later + timedelta(hours=age)
            assert bool(api_keys.find_active(session, secret, now=at)) is works


def test_rotation_prolongs_nothing(api: Api, clock: FakeClock) -> None:
    now = clock()
    with api.rt.transaction() as tx:
        secret = api_keys.issue(tx.session, "k", mode="live", now=now, expires_at=now + timedelta(hours=1))
        assert api_keys.rotate(tx.session, secret[:14], overlap=timedelta(hours=24), now=now)

    with api.rt.sessions() as session:
        assert api_keys.find_active(session, secret, now=now + timedelta(hours=2)) is None


def test_neither_a_revoked_nor_an_unknown_key_is_rotated(api: Api, clock: FakeClock) -> None:
    with api.rt.transaction() as tx:
        secret = api_keys.issue(tx.session, "k", mode="live", now=clock())
    with api.rt.transaction() as tx:
        api_keys.revoke(tx.session, secret[:14], now=clock())

        for prefix in (secret[:14], "sms_live_none_"):
            assert api_keys.rotate(tx.session, prefix, overlap=timedelta(hours=24), now=clock()) is None


def test_the_fast_path_leaves_a_key_that_may_not_send_to_the_views(api: Api) -> None:
    body = b'{"to": "+14155552671", "body": "hello"}'
    answers = []
    for held in (Scope.SEND, Scope.READ):
        caller = limited(api, held)
        call(caller, "listMessages")  # the key is known from now on
        fields = {"content-type": "application/json", "authorization": f"Bearer {caller.key}"}
        answers.append(api.app.extensions[EXTENSION][PATH](PlainRequest(PATH, PATH, fields, body)))

    assert answers[0].status.startswith("202")
    assert answers[1] is None
