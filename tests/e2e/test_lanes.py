"""Lanes, paces, turns, caps and what parks a country, through running processes that are set up for them."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from celery import Celery

from dev.servers import PostgresServer
from smsapp.breakers import queries as breakers
from smsapp.keys import queries as api_keys
from smsapp.limits import ALL
from smsapp.pacing import tallies
from smsapp.pacing.caps import day_of, next_day
from smsapp.queue.tasks import ROUTES, Task
from smsapp.twilio.error_codes import OwnCode
from tests.support.bulk import POSSIBLE_NUMBER, send_bulk
from tests.support.stack import DATABASES, Stack

NUMBER = "+14155552671"
POOL = ("+15005550011", "+15005550012")
PACED = "+15005550013"
PACE = 25.0
CAMPAIGN = 40
DAILY_CAP = 1000
RULES = {
    "TWILIO_PHONE_NUMBER": ",".join(POOL),
    "SENDER_PACE": f"{PACED}={PACE}",
    "COUNTRY_CAPS": "FR=1",
    "DAILY_CAP": str(DAILY_CAP),
    "MIN_DELIVERY_RATIO": "0.5",
    "DELIVERY_SAMPLE": "4",
}


@pytest.fixture(scope="module", params=DATABASES)
def stack(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A service of this file's own, with rules that would slow down or hold what other tests send."""
    postgres: PostgresServer | None = None
    if request.param == "postgres":
        postgres = request.getfixturevalue("postgres_server")
    folder = tmp_path_factory.mktemp(f"lanes_{request.param}_")
    with Stack(folder, database=request.param, postgres=postgres, environment=RULES) as stack:
        yield stack


def arrivals(stack: Stack, bodies: Collection[str]) -> dict[str, datetime]:
    """Return when Twilio got each text."""
    wanted = set(bodies)
    return {
        entry["body"]: datetime.fromisoformat(entry["created_at"])
        for entry in stack.ledger()
        if entry["body"] in wanted
    }


@contextmanager
def piling_up(stack: Stack) -> Iterator[None]:
    """Close the paced sender while texts come: what is sent first says then who has precedence."""
    now = datetime.now(UTC)
    with stack.sessions.begin() as session:
        later = now + timedelta(hours=1)
        breakers.trip(session, PACED, parked=True, error_code=21660, reason="x", now=now, probe_at=later)
    try:
        yield
    finally:
        with stack.sessions.begin() as session:
            breakers.release(session, PACED)


def judge_delivery(stack: Stack) -> None:
    """Have the worker do what beat asks of it twice a minute."""
    job = Task.CHECK_DELIVERY
    with Celery(broker=stack.redis.url, set_as_current=False) as celery:
        celery.send_task(str(job), queue=str(ROUTES[job]), ignore_result=True)


def parked(stack: Stack) -> set[str]:
    """Return what is closed to sending."""
    with stack.database() as session:
        return {each.scope for each in breakers.all_of(session)}


@contextmanager
def room_today(stack: Stack, room: int) -> Iterator[None]:
    """Let the day's count be such that so many more messages may go out."""
    today = day_of(datetime.now(UTC))
    with stack.sessions.begin() as session:
        missing = DAILY_CAP - room - tallies.add(session, today, {ALL: 0})[ALL]
        tallies.add(session, today, {ALL: missing})
    try:
        yield
    finally:
        with stack.sessions.begin() as session:
            tallies.add(session, today, {ALL: -missing})


def test_every_priority_is_sent_and_shown(stack: Stack) -> None:
    sent = {
        priority: stack.post(NUMBER, f"priority {priority}", priority=priority)
        for priority in ("otp", "normal", "bulk")
    }

    shown = {priority: stack.message(answer["id"], wait_s=20) for priority, answer in sent.items()}

    assert {priority: message["priority"] for priority, message in shown.items()} == {
        "otp": "otp",
        "normal": "normal",
        "bulk": "bulk",
    }
    assert {message["outcome"] for message in shown.values()} == {"delivered"}


def test_an_unknown_priority_is_refused(stack: Stack) -> None:
    answer = stack.request("POST", "/sms/send", {"to": NUMBER, "body": "x", "priority": "urgent"})

    assert (answer.status, [each["pointer"] for each in answer.json()["errors"]]) == (400, ["/priority"])


def test_a_paced_sender_keeps_its_pace_and_a_code_goes_first(stack: Stack) -> None:
    campaign = stack.send(CAMPAIGN, priority="bulk", **{"from": PACED})
    stack.wait_until(lambda: len(arrivals(stack, campaign.values())) >= 3)
    code = stack.post(NUMBER, "the code", priority="otp", **{"from": PACED})

    stack.wait_until_settled(campaign.keys() | {code["id"]})

    at = arrivals(stack, {*campaign.values(), code["body"]})
    times = sorted(at.values())
    assert len(times) == CAMPAIGN + 1
    assert (times[-1] - times[0]).total_seconds() >= CAMPAIGN / PACE * 0.9
    assert sum(each > at[code["body"]] for each in times) >= 5


def test_a_few_texts_of_one_key_do_not_wait_for_the_campaign_of_another(stack: Stack) -> None:
    with stack.sessions.begin() as session:
        other_key = api_keys.issue(session, "other", mode="live", now=datetime.now(UTC))
    fields = {"priority": "bulk", "from": PACED}
    with piling_up(stack):
        campaign = stack.send(CAMPAIGN, **fields)
        few = send_bulk(
            stack.url(),
            other_key,
            5,
            to=POSSIBLE_NUMBER,
            concurrency=5,
            rate=None,
            patience_s=10,
            fields=fields,
        )

    stack.wait_until_settled(campaign.keys() | few.keys())

    last = max(arrivals(stack, few.values()).values())
    assert sum(each < last for each in arrivals(stack, campaign.values()).values()) <= 10
    assert len(arrivals(stack, campaign.values())) == CAMPAIGN


def test_senders_share_the_work_and_each_recipient_keeps_its_own(stack: Stack) -> None:
    numbers = [f"+1415555{number:04d}" for number in range(12)]

    twice = [[stack.post(number, f"turn {turn}") for number in numbers] for turn in range(2)]
    stack.wait_until_settled({message["id"] for turn in twice for message in turn})

    first, second = ({message["to"]: message["from"] for message in turn} for turn in twice)
    at_twilio = {(entry["to"], entry["from"]) for entry in stack.ledger() if entry["to"] in first}
    assert first == second
    assert set(first.values()) == set(POOL)
    assert at_twilio == set(first.items())


def test_what_is_over_a_countrys_cap_waits_with_a_reason_until_it_is_released(stack: Stack) -> None:
    ids = [stack.post("+33612345678", f"bonjour {number}")["id"] for number in range(3)]
    stack.wait_until(lambda: sum(stack.message(each)["error"] is not None for each in ids) == 2)

    held = [message for each in ids if (message := stack.message(each))["error"]]
    listed = stack.cli("held", "list").stdout
    released = stack.cli("held", "release", "--country", "FR").stdout

    assert {(each["status"], each["error"]["code"]) for each in held} == {("pending", OwnCode.COUNTRY_CAP)}
    assert "FR  country_cap  2" in listed
    assert released == "2 released\n"
    stack.wait_until_settled(ids)
    assert {stack.message(each)["outcome"] for each in ids} == {"delivered"}


def test_what_is_over_the_days_cap_waits_for_the_next_day(stack: Stack) -> None:
    now = datetime.now(UTC)
    with room_today(stack, 1):
        ids = [stack.post(NUMBER, f"of today {number}")["id"] for number in range(3)]
        stack.wait_until(lambda: sum(stack.message(each)["error"] is not None for each in ids) == 2)
    stack.wait_until(lambda: any(stack.message(each)["outcome"] == "delivered" for each in ids))

    held = [message for each in ids if (message := stack.message(each))["error"]]
    for message in held:
        assert (message["status"], message["error"]["code"]) == ("pending", OwnCode.DAILY_CAP)
        assert datetime.fromisoformat(message["next_attempt_at"]) == next_day(now)
        assert stack.request("POST", f"/sms/messages/{message['id']}/cancel").status == 200
    assert sum(entry["body"].startswith("of today") for entry in stack.ledger()) == 1


def test_a_country_to_which_nothing_is_delivered_is_parked_until_somebody_opens_it(stack: Stack) -> None:
    lost = [stack.post("+4915123430003", f"nobody there {number}")["id"] for number in range(4)]
    stack.wait_until_settled(lost)
    judge_delivery(stack)
    stack.wait_until(lambda: parked(stack) == {"country:DE"})

    waiting = stack.post("+4915123456789", "hallo")["id"]
    stack.wait_until(lambda: stack.message(waiting)["error"] is not None)
    held = stack.message(waiting)
    elsewhere = stack.message(stack.post("+447400123456", "hello")["id"], wait_s=20)
    stack.cli("breaker", "release", "country:DE")

    assert elsewhere["outcome"] == "delivered"
    assert (held["status"], held["error"]["code"]) == ("pending", OwnCode.COUNTRY_PARKED)
    assert stack.message(waiting, wait_s=20)["outcome"] == "delivered"
