"""What messages cost: Twilio says it late, and only when asked."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import pytest

from smsapp.breakers import queries as breakers
from smsapp.db import counters
from smsapp.messages.status import Outcome, Status
from smsapp.reconciliation import fill_in_prices as module
from smsapp.reconciliation import price_queries as prices
from smsapp.reconciliation.fill_in_prices import fill_in_prices
from smsapp.reconciliation.reconcile import reconcile
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import TwilioMessage, TwilioUnavailableError
from tests.support.callbacks import callback, receive
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept, stored

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
PRICE = "-0.00750"

pytestmark = pytest.mark.usefixtures("nothing_is_lost")


class Requests:
    """Counts the pages and single messages that were asked for; `strangers` come first in every list."""

    def __init__(self, twilio: FakeTwilio, strangers: int = 0) -> None:
        self._twilio = twilio
        self._list = twilio.list_sent
        self._strangers = strangers
        self.lists: list[int] = []

    @property
    def singles(self) -> int:
        """How many messages were fetched one by one."""
        return len(self._twilio.fetched)

    def list_sent(self, **span: Any) -> Iterator[TwilioMessage]:
        """List as Twilio does, newest first, with other systems' messages among ours."""
        self.lists.append(span["limit"])
        other = TwilioMessage("SM" + "f" * 32, "delivered", "+1999", None, "", None, 1, PRICE, "USD", None)
        listed = (replace(other, sid=f"SM{number:032x}") for number in range(self._strangers))
        yield from islice((*listed, *self._list(**span)), span["limit"])


@pytest.fixture
def requests(twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch) -> Requests:
    """The requests of a test, in an account that nobody else uses."""
    seen = Requests(twilio)
    monkeypatch.setattr(twilio, "list_sent", seen.list_sent)
    return seen


def delivered(rt: Runtime, accept: Accept, count: int = 1, status: str = "delivered") -> list[UUID]:
    """Send messages and let callbacks end them."""
    begin_at = rt.clock()
    fill_in_prices(rt)  # from here on
    ids = [accept() for _ in range(count)]
    send_messages(rt)
    assert rt.clock() == begin_at
    receive(rt, *(callback(rt, each, status) for each in ids))
    return ids


def bills(twilio: FakeTwilio, price: str | None = PRICE) -> None:
    """Let Twilio fill in the prices of everything."""
    for sid, record in twilio.records.items():
        twilio.records[sid] = replace(record, status="delivered", price=price)


def priced(rt: Runtime, ids: list[UUID]) -> int:
    return sum(stored(rt, each).price == PRICE for each in ids)


@pytest.mark.parametrize("status", ["delivered", "undelivered", "read"])
def test_a_price_that_comes_late_is_filled_in_with_one_request(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, requests: Requests, status: str
) -> None:
    ids = delivered(rt, accept, 30, status)
    bills(twilio)
    history = stored(rt, ids[0]).version

    clock.advance(5 * MINUTE)
    early = fill_in_prices(rt)
    clock.advance(MINUTE)
    filled = fill_in_prices(rt)

    assert (early, filled, priced(rt, ids)) == (0, 30, 30)
    assert (len(requests.lists), requests.singles) == (1, 0)
    message = stored(rt, ids[0])
    assert message.price_unit == "USD"
    assert (message.status, message.version) == (status, history)


def test_what_twilio_has_not_billed_yet_is_asked_about_at_later_ages_and_then_no_more(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, requests: Requests
) -> None:
    late, never = delivered(rt, accept, 2)
    asked_after = []
    begin = clock()

    while (age := clock() - begin) < timedelta(days=4):  # in small steps where something may become due
        clock.advance(MINUTE if age < 2 * HOUR else 5 * MINUTE if age < 28 * HOUR else HOUR)
        before = len(requests.lists) + requests.singles
        fill_in_prices(rt)
        if len(requests.lists) + requests.singles > before:
            asked_after.append(clock() - begin)
            sid = stored(rt, late).twilio_sid or ""
            twilio.records[sid] = replace(twilio.records[sid], price=PRICE)

    assert asked_after == [6 * MINUTE, HOUR + 5 * MINUTE, 26 * HOUR + 5 * MINUTE]
    assert (stored(rt, late).price, stored(rt, never).price) == (PRICE, None)


@pytest.mark.parametrize("status", ["failed", "canceled"])
def test_what_never_costs_anything_is_never_asked_about(
    rt: Runtime, clock: FakeClock, accept: Accept, requests: Requests, status: str
) -> None:
    delivered(rt, accept, 30, status)

    for _ in range(30):
        clock.advance(HOUR)
        fill_in_prices(rt)

    assert (requests.lists, requests.singles) == ([], 0)


def test_reconciling_fills_in_prices(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    ids = delivered(rt, accept, 3)
    bills(twilio)
    clock.advance(HOUR)

    reconcile(rt)

    assert priced(rt, ids) == 3


def test_an_account_that_others_use_costs_few_requests_a_round_and_misses_nobody(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = Requests(twilio, strangers=100_000)
    monkeypatch.setattr(twilio, "list_sent", requests.list_sent)
    ids = delivered(rt, accept, 120)
    bills(twilio)
    clock.advance(10 * MINUTE)

    rounds = [(fill_in_prices(rt), requests.lists[-1]) for _ in range(3)]

    assert rounds == [(50, 3000), (50, 2000), (20, 1000)]
    assert priced(rt, ids) == 120
    assert fill_in_prices(rt) == 0


def test_a_page_that_skips_some_and_shows_others_twice_loses_nothing(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = delivered(rt, accept, 10)
    bills(twilio)
    records = list(twilio.records.values())
    shuffled = [*records[:6], *records[3:6], *records[8:]]
    monkeypatch.setattr(twilio, "list_sent", lambda **_: iter(shuffled))
    clock.advance(10 * MINUTE)

    assert fill_in_prices(rt) == priced(rt, ids) == 10


@pytest.mark.parametrize(
    "refusal",
    [
        TwilioUnavailableError("http_429", code=20429, status=429, retry_after="30"),
        TwilioUnavailableError("TimeoutError"),
    ],
)
def test_while_twilio_is_away_nothing_is_lost_and_it_is_left_alone(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, requests: Requests, refusal: Exception
) -> None:
    ids = delivered(rt, accept, 5)
    bills(twilio)
    clock.advance(10 * MINUTE)
    twilio.unavailable = refusal  # type: ignore[assignment]

    away = [fill_in_prices(rt) for _ in range(10)]
    asked = len(requests.lists)
    with rt.sessions() as session:
        paused = breakers.is_closed(session, breakers.POLLING, now=clock())
    twilio.unavailable = None
    clock.advance(2 * MINUTE)  # before the next age
    back = fill_in_prices(rt)

    assert (away, asked, paused) == ([0] * 10, 1, True)
    assert (back, priced(rt, ids)) == (5, 5)


def test_a_worker_that_dies_before_it_commits_only_asks_again(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = delivered(rt, accept, 5)
    bills(twilio)
    clock.advance(10 * MINUTE)
    with monkeypatch.context() as dying:
        dying.setattr(counters, "move_cursor", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            fill_in_prices(rt)
    between = priced(rt, ids)

    assert (between, fill_in_prices(rt), priced(rt, ids)) == (0, 5, 5)


def test_many_messages_that_never_get_a_price_hold_nobody_up(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 10)
    delivered(rt, accept, 40)
    clock.advance(10 * MINUTE)
    (last,) = delivered(rt, accept, 1)
    sid = stored(rt, last).twilio_sid or ""
    twilio.records[sid] = replace(twilio.records[sid], price=PRICE)
    clock.advance(10 * MINUTE)

    filled = [fill_in_prices(rt) for _ in range(6)]

    assert filled == [0, 0, 0, 1, 0, 0]  # the first batch was looked up before


def test_messages_of_the_last_day_before_an_upgrade_are_asked_about_and_no_older_ones(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    groups = []
    for _ in range(4):
        ids = [accept() for _ in range(3)]
        send_messages(rt)
        receive(rt, *(callback(rt, each, "delivered") for each in ids))
        groups.append(ids)
        clock.advance(13 * HOUR)
    bills(twilio)

    fill_in_prices(rt)

    assert [priced(rt, ids) for ids in groups] == [0, 0, 3, 3]


def test_a_price_of_another_attempt_or_a_second_one_changes_nothing(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    (message_id,) = delivered(rt, accept, 1)
    with rt.sessions() as session:
        (state,) = prices.without_price(session, [message_id])
    ours = replace(twilio.records[state.twilio_sid or ""], price=PRICE)
    answers = [replace(ours, sid="SM" + "9" * 32), ours, replace(ours, price="-9")]

    filled = []
    for answer in answers:
        with rt.sessions.begin() as session:
            filled.append(prices.fill_in(session, [(state, answer)], now=rt.clock()))

    assert (filled, stored(rt, message_id).price) == ([0, 1, 0], PRICE)


def test_parts_that_arrived_and_no_end_cost_something_too(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept
) -> None:
    message_id = accept()
    fill_in_prices(rt)
    send_messages(rt)
    receive(rt, callback(rt, message_id, "partially_delivered"))
    sid = stored(rt, message_id).twilio_sid or ""
    twilio.records[sid] = replace(twilio.records[sid], status="partially_delivered")
    clock.advance(73 * HOUR)
    reconcile(rt)
    message = stored(rt, message_id)
    assert (message.status, message.outcome) == (Status.PARTIALLY_DELIVERED, Outcome.UNCONFIRMED)

    twilio.records[sid] = replace(twilio.records[sid], price=PRICE)
    clock.advance(6 * MINUTE)

    assert (fill_in_prices(rt), stored(rt, message_id).price) == (1, PRICE)
