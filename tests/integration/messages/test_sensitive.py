"""A sensitive text is taken and never shown again, not even to the one who sent it."""

from collections.abc import Iterator

import pytest
from sqlalchemy import select

from smsapp.config import Settings
from smsapp.db.models import IdempotencyKey
from tests.support.web import TO, Api, faults, serving

SECRET = "Your code is 918273"


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def test_no_answer_shows_it(api: Api) -> None:
    document = {"to": TO, "body": SECRET, "sensitive": True}
    key = {"Idempotency-Key": "k"}

    answers = [api.post(document, headers=key), api.post(document, headers=key)]
    path = answers[0].headers["Location"]
    answers += [api.get(path), api.get("/sms/messages"), api.get(f"{path}/events")]

    assert [answer.status_code for answer in answers] == [202, 202, 200, 200, 200]
    assert all("918273" not in answer.text for answer in answers)
    message = answers[2].json
    assert (message["body"], message["sensitive"], message["redacted_at"]) == (None, True, None)
    assert message["segments"] == 1
    with api.rt.sessions() as session:
        (kept,) = session.scalars(select(IdempotencyKey)).all()
    assert "918273" not in str(kept.answer)


def test_its_text_is_kept_for_another_attempt_only_if_the_request_wants_that(
    settings: Settings, api_key: str
) -> None:
    resending = settings.model_copy(update={"resend_after_failure": True})

    with serving(resending, api_key) as api:
        usual, unsaid = api.send(), api.send(sensitive=True)
        wanted = api.send(sensitive=True, resend_after_failure=True)

        left = [api.stored(message["id"]).resends_left for message in (usual, unsaid, wanted)]
    assert [bool(number) for number in left] == [True, False, True]


def test_it_is_yes_or_no(api: Api) -> None:
    assert faults(api.post({"to": TO, "body": "x", "sensitive": "very"})) == {"/sensitive": "wrong_type"}
