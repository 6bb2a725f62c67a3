"""A dry run says what would become of a request, and leaves nothing behind."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import func, select

from smsapp.breakers import queries as breakers
from smsapp.config import Settings
from smsapp.db.models import IdempotencyKey
from smsapp.events.models import OutboxEvent
from smsapp.messages.models import Message, MessageEvent
from smsapp.pacing import tallies
from smsapp.pacing.caps import day_of, next_day
from smsapp.sending import schemas
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.rules import OptOutEvidence, OptOutSource
from tests.support.environment import SENDER
from tests.support.web import TO, Api, faults, problem, serving

one_database = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def dry_run(api: Api, **fields: Any) -> dict[str, Any]:
    response = api.post({"to": TO, "body": "hello", "dry_run": True} | fields)
    assert response.status_code == 200, response.text
    schemas.DryRun.model_validate(response.json)
    answer: dict[str, Any] = response.json
    return answer


def verdicts(answer: dict[str, Any]) -> dict[str, tuple[str, str | None]]:
    return {each["check"]: (each["verdict"], each["code"]) for each in answer["checks"]}


def test_it_tells_what_the_text_is_and_where_it_goes(api: Api) -> None:
    answer = dry_run(api, body="It\u2019s 5 €")

    assert (answer["dry_run"], answer["verdict"], answer["to"], answer["country"]) == (True, "pass", TO, "US")
    assert (answer["from"], answer["messaging_service_sid"]) == (SENDER, None)
    assert (answer["encoding"], answer["segments"], answer["units"], answer["units_left"]) == (
        "UCS-2",
        1,
        8,
        62,
    )
    assert answer["offending_characters"] == [
        {"character": "\u2019", "code_point": "U+2019", "positions": [2]}
    ]
    assert set(verdicts(answer).values()) == {("pass", None)}


def test_it_stores_nothing_and_remembers_no_key(api: Api) -> None:
    document = {"to": TO, "body": "hello"}
    headers = {"Idempotency-Key": "k"}

    response = api.post(document | {"dry_run": True}, headers=headers)

    assert response.status_code == 200
    with api.rt.sessions() as session:
        for table in (Message, MessageEvent, IdempotencyKey, OutboxEvent):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    assert api.post(document, headers=headers).status_code == 202


@one_database
def test_without_a_configured_price_there_is_no_estimate(api: Api) -> None:
    assert dry_run(api)["price"] is None


@one_database
def test_the_price_is_that_of_the_country_for_every_segment(settings: Settings, api_key: str) -> None:
    priced = settings.model_copy(update={"price_per_segment": {"US": Decimal("0.0083")}})

    with serving(priced, api_key) as api:
        answers = [dry_run(api, body="x" * 161), dry_run(api, to="+442071838750")]

    assert answers[0]["price"] == {"amount": "0.0166", "per_segment": "0.0083", "currency": "USD"}
    assert answers[1]["price"] is None


@one_database
def test_a_number_that_no_plan_knows_is_a_warning(api: Api) -> None:
    answer = dry_run(api, to="+15550000000")

    assert answer["verdict"] == "warn"
    assert verdicts(answer)["number"] == ("warn", "number_not_known")


@one_database
@pytest.mark.parametrize("to", ["+979123456789", "+881612345678", "+870773111632", "+449098790000"])
def test_a_number_of_a_refused_kind_is_a_refusal_and_is_refused(api: Api, to: str) -> None:
    answer = dry_run(api, to=to)
    response = api.post({"to": to, "body": "hello"})

    assert answer["verdict"] == "refuse"
    assert verdicts(answer)["number"] == ("refuse", "number_type_refused")
    assert list(faults(response)) == ["/to"]


@one_database
def test_the_operator_says_which_kinds_are_refused(settings: Settings, api_key: str) -> None:
    with serving(settings.model_copy(update={"refuse_number_types": frozenset()}), api_key) as api:
        assert verdicts(dry_run(api, to="+979123456789"))["number"][0] == "pass"
        assert api.send(to="+979123456789")["status"] == "pending"

    strict = settings.model_copy(update={"refuse_number_types": frozenset({"unassigned"})})
    with serving(strict, api_key) as api:
        assert verdicts(dry_run(api, to="+15550000000"))["number"] == ("refuse", "number_type_refused")


@one_database
def test_a_message_that_was_accepted_before_is_answered_again(settings: Settings, api_key: str) -> None:
    wanted, key = {"to": "+979123456789", "body": "hello"}, {"Idempotency-Key": "k-1"}
    with serving(settings.model_copy(update={"refuse_number_types": frozenset()}), api_key) as api:
        first = api.post(wanted, headers=key)
    with serving(settings, api_key) as api:
        second = api.post(wanted, headers=key)

    assert (second.status_code, second.json) == (202, first.json)


def test_a_phone_gets_no_more_in_a_day_than_is_allowed(settings: Settings, api_key: str) -> None:
    few = settings.model_copy(update={"recipient_daily_limit": 2})
    with serving(few, api_key) as api:
        before = verdicts(dry_run(api, to="+525512345678"))["recipient"]
        first = api.post({"to": "+5215512345678", "body": "1"}, headers={"Idempotency-Key": "k-1"})
        api.send(to="whatsapp:+525512345678", **{"from": "whatsapp:+15005550006"})

        after = verdicts(dry_run(api, to="+525512345678"))["recipient"]
        third = api.post({"to": "+525512345678", "body": "3"})
        again = api.post({"to": "+5215512345678", "body": "1"}, headers={"Idempotency-Key": "k-1"})
        other = api.post({"to": TO, "body": "hello"})

    assert (before, after) == (("pass", None), ("refuse", "recipient_limit"))
    assert problem(third, 422, "recipient_limit").errors[0].pointer == "/to"
    assert (again.status_code, again.json, other.status_code) == (202, first.json, 202)


@one_database
def test_times_that_cannot_be_kept_are_a_refusal(api: Api) -> None:
    answer = dry_run(api, deliver_by="2020-01-01T00:00:00Z")

    assert answer["verdict"] == "refuse"
    assert verdicts(answer)["times"] == ("refuse", "past")


@pytest.mark.parametrize("scope", [breakers.ACCOUNT, SENDER])
def test_while_sending_is_paused_it_would_wait(api: Api, scope: str) -> None:
    now = datetime.now(UTC)
    with api.rt.sessions.begin() as session:
        breakers.trip(
            session,
            scope,
            parked=True,
            error_code=20003,
            reason="x",
            now=now,
            probe_at=now + timedelta(hours=1),
        )

    answer = dry_run(api)

    assert answer["verdict"] == "hold"
    assert verdicts(answer)["sending"] == ("hold", "sending_paused")
    assert dry_run(api, **{"from": "Shop"})["verdict"] == ("hold" if scope == breakers.ACCOUNT else "pass")


def test_it_shows_the_text_that_a_template_makes_unless_it_is_sensitive(api: Api) -> None:
    api.post({"name": "code", "body": "Your code is {{code}}"}, path="/sms/templates")
    filled = {"body": None, "template": "code", "values": {"code": 123456}}

    answer = dry_run(api, **filled)

    assert (answer["body"], answer["units"]) == ("Your code is 123456", 19)
    assert dry_run(api, **filled, sensitive=True)["body"] is None


@one_database
def test_a_faulty_request_is_refused_as_ever(api: Api) -> None:
    assert faults(api.post({"to": "x", "body": "", "dry_run": True})) == {
        "/to": "invalid",
        "/body": "too_short",
    }
    assert faults(api.post({"to": TO, "body": "x", "dry_run": "yes"})) == {"/dry_run": "wrong_type"}


def test_it_tells_of_an_opt_out(api: Api) -> None:
    with api.rt.sessions.begin() as session:
        stopped = OptOutEvidence(TO, [SENDER], True, OptOutSource.INBOUND, api.rt.clock())
        suppressions.record(session, [stopped], now=api.rt.clock())

    answer = dry_run(api)

    assert (answer["verdict"], verdicts(answer)["opt_out"]) == ("refuse", ("refuse", "recipient_opted_out"))


def until(answer: dict[str, Any], check: str) -> datetime | None:
    (found,) = [each["until"] for each in answer["checks"] if each["check"] == check]
    return found and datetime.fromisoformat(found)


def at_noon(days: int) -> datetime:
    """Return a time at which it is day at the recipient's, so many days ahead."""
    return datetime.now(UTC).replace(hour=18, minute=0, second=0, microsecond=0) + timedelta(days=days)


@pytest.mark.parametrize(
    ("caps", "code"),
    [
        ({"daily_cap": 3}, "daily_cap"),
        ({"country_caps": {"US": 3}}, "country_cap"),
        ({"country_caps": {"*": 3}, "daily_cap": 4}, "country_cap"),
        ({"daily_cap": 4}, None),
        ({"country_caps": {"GB": 0}}, None),
    ],
)
def test_it_tells_which_cap_holds_it_until_when_and_counts_nothing(
    settings: Settings, api_key: str, caps: dict[str, Any], code: str | None
) -> None:
    send_at = at_noon(days=2)
    with serving(settings.model_copy(update=caps), api_key) as api:
        with api.rt.sessions.begin() as session:
            tallies.add(session, day_of(send_at), {"all": 3, "US": 3})

        answers = [dry_run(api, send_at=send_at.isoformat()) for _ in range(2)]
        tomorrow = dry_run(api, send_at=at_noon(days=3).isoformat())

        with api.rt.sessions() as session:
            assert tallies.read(session, day_of(send_at)) == {"all": 3, "US": 3}
    for answer in answers:
        assert verdicts(answer)["caps"] == ("hold" if code else "pass", code)
        assert until(answer, "caps") == (next_day(send_at) if code else None)
    assert verdicts(tomorrow)["caps"] == ("pass", None)


def test_it_tells_that_a_country_is_parked(api: Api) -> None:
    opens = datetime.now(UTC).replace(microsecond=0) + timedelta(hours=1)
    with api.rt.sessions.begin() as session:
        breakers.trip(
            session,
            breakers.country_scope("US"),
            parked=True,
            error_code=None,
            reason="x",
            now=datetime.now(UTC),
            probe_at=opens,
        )

    answer = dry_run(api)

    assert (verdicts(answer)["country"], until(answer, "country")) == (("hold", "country_parked"), opens)
    assert verdicts(dry_run(api, to="+442071838750"))["country"] == ("pass", None)


@pytest.fixture
def paced(settings: Settings, api_key: str) -> Iterator[Api]:
    """A service whose sender may hand over ten segments a second."""
    with serving(settings.model_copy(update={"sender_pace": {SENDER: 10.0}}), api_key) as api:
        yield api


def test_it_tells_roughly_when_its_turn_comes_at_the_senders_pace(paced: Api) -> None:
    for _ in range(10):
        paced.send(body="x" * 459)  # 3 segments
    paced.send(priority="bulk", body="x" * 1600)  # 11 segments, after all others
    paced.send(priority="bulk", body="x" * 1600)
    paced.send(**{"from": "+15005550009"})
    now = datetime.now(UTC)

    idle = dry_run(paced, priority="otp")
    waiting = dry_run(paced)
    again = dry_run(paced)
    paced.rt.pacer.settle(SENDER, 10.0, 50)
    in_debt = dry_run(paced)
    later = dry_run(paced, send_at=at_noon(days=2).isoformat())

    assert verdicts(idle)["pace"] == ("pass", None)
    assert verdicts(waiting)["pace"] == verdicts(again)["pace"] == ("hold", "pace")
    turns = [until(answer, "pace") or now for answer in (waiting, again, in_debt)]
    first, second, last = [(turn - now).total_seconds() for turn in turns]
    assert 3 <= first <= second < 5
    assert 8 <= last < 10
    assert verdicts(later)["pace"] == verdicts(dry_run(paced, **{"from": "Shop"}))["pace"] == ("pass", None)
    assert waiting["verdict"] == "hold"


def test_without_redis_it_tells_that_the_pace_is_not_known(settings: Settings, api_key: str) -> None:
    changed = {"sender_pace": {SENDER: 10.0}, "redis_url": "redis://127.0.0.1:1"}

    with serving(settings.model_copy(update=changed), api_key) as api:
        answer = dry_run(api)

    assert verdicts(answer)["pace"] == ("hold", "pace_unknown")


def test_it_tells_of_quiet_hours(api: Api) -> None:
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    in_a_while = tomorrow.replace(hour=10, minute=0)  # before 8 am in San Francisco, summer and winter

    at_night = dry_run(api, send_at=in_a_while.isoformat(), quiet_hours="21:00-08:00")
    urgent = dry_run(api, send_at=in_a_while.isoformat(), quiet_hours="21:00-08:00", urgent=True)

    assert verdicts(at_night)["quiet_hours"] == ("hold", "quiet_hours")
    assert verdicts(urgent)["quiet_hours"] == ("pass", None)
