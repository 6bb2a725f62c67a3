"""Plans for failures over HTTP: kept and shown as they were given, and refused when they make no sense."""

from collections.abc import Iterator
from typing import Any

import pytest

from smsapp.config import Settings
from tests.support.web import TO, Api, faults, serving

AGAIN = {"on": ["retry_later", "30007"], "do": "resend", "after": "5m", "from": "+15005550011"}
PLAN = {"steps": [AGAIN, {"on": ["any"], "do": "request_fallback"}], "max_segments": 4}
one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def test_a_plan_is_kept_and_shown_as_it_was_given(api: Api) -> None:
    answer = api.send(on_failure=PLAN)

    assert answer["on_failure"] == PLAN
    assert api.get(f"/sms/messages/{answer['id']}").json == answer
    assert api.stored(answer["id"]).steps_left == 0b11
    assert api.send()["on_failure"] is None


@one_database
def test_a_plan_takes_the_place_of_the_default(settings: Settings, api_key: str) -> None:
    with serving(settings.model_copy(update={"resend_after_failure": True}), api_key) as api:
        assert api.stored(api.send(on_failure=PLAN)["id"]).resends_left == 0


def step(**changes: Any) -> dict[str, Any]:
    return {"on_failure": {"steps": [{"on": ["any"], "do": "resend"} | changes]}}


FAULTY: list[tuple[dict[str, Any], str]] = [
    ({"on_failure": []}, ""),
    ({"on_failure": {"steps": []}}, "/steps"),
    ({"on_failure": {"steps": [AGAIN] * 6}}, "/steps"),
    ({"on_failure": {"steps": [AGAIN], "max_segments": 0}}, "/max_segments"),
    ({"on_failure": {"steps": [AGAIN], "colour": "red"}}, "/colour"),
    ({"on_failure": PLAN, "resend_after_failure": True}, ""),
    (step(on=[]), "/steps/0/on"),
    (step(on=["unlucky"]), "/steps/0/on/0"),
    (step(on=["any", 30003]), "/steps/0/on/1"),
    (step(do="pray"), "/steps/0/do"),
    (step(after="soon"), "/steps/0/after"),
    (step(after="73h"), "/steps/0/after"),
    (step(**{"from": "not a sender!"}), "/steps/0/from"),
    (step(messaging_service_sid="MG1"), "/steps/0/messaging_service_sid"),
    (step(channel="pigeon", **{"from": "+15005550011"}), "/steps/0/channel"),
    (step(channel="whatsapp"), "/steps/0"),
    (step(on=["opt_out"]), "/steps/0"),
    (step(on=["deadline_missed"]), "/steps/0"),
    (step(do="request_fallback", after="5m"), "/steps/0"),
    (step(do="request_fallback", **{"from": "+15005550011"}), "/steps/0"),
]


@pytest.mark.parametrize(("fields", "place"), FAULTY, ids=[f"{fields}"[:60] for fields, _ in FAULTY])
@one_database
def test_a_plan_that_makes_no_sense_is_refused(api: Api, fields: dict[str, Any], place: str) -> None:
    response = api.post({"to": TO, "body": "x"} | fields)

    assert list(faults(response)) == [f"/on_failure{place}"]
