"""Ask Twilio what messages cost, in bulk and with few requests.

No callback brings a price, and Twilio fills it in late, "up to 24 hours in rare cases"
(https://support.twilio.com/hc/en-us/articles/46871410243099). So each message that ended without one is looked up at
the ages of `PRICE_AGES`, counted from its end; after the last its price stays unknown. For each age a cursor goes
through the ends in the outbox. It moves with the prices, in one transaction: a worker that dies, or a Twilio that is
away, only repeats questions. A price that never comes costs one question for each age, and holds nobody up.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from itertools import takewhile

import structlog
from sqlalchemy.orm import Session

from smsapp.breakers import queries as breakers
from smsapp.db import counters
from smsapp.db.sessions import reading
from smsapp.messages.fold import MessageState
from smsapp.reconciliation import price_queries as prices
from smsapp.reconciliation.lookups import Lookups, pause_polling
from smsapp.reconciliation.price_queries import Ended
from smsapp.runtime import Runtime
from smsapp.twilio.gateway import TwilioMessage

log = structlog.get_logger(__name__)

BATCH = 1000
_PAGE = 1000
_PAGES_PER_WANTED = 50
"""Of every so many wanted messages one page is listed at most: others of the account may have sent far more."""

_SINGLE = 50
"""How many messages are fetched one by one in a round and age, for those that the list did not show."""

_FETCHES = 4
_GAP = timedelta(minutes=10)
"""Messages that were sent so close to each other are listed together."""

_GATHER = timedelta(minutes=5)
"""How long ends are gathered, so that a quiet account makes a request in five minutes, not one for each message."""


def fill_in_prices(rt: Runtime) -> int:
    """Look up a batch of messages at each age; return how many got a price. One worker at a time may call it."""
    ages = sorted(set(rt.settings.price_ages))
    return sum(_fill_in(rt, age, oldest=ages[-1]) for age in ages)


def _fill_in(rt: Runtime, age: timedelta, *, oldest: timedelta) -> int:
    now = rt.clock()
    name = f"prices:{age.total_seconds():.0f}"
    with reading(rt.sessions) as session:
        begin = counters.read_cursor(session, name)
        cursor = prices.last_before(session, now - oldest) if begin is None else begin
        due = _due(session, cursor, age, now)
        wanted = prices.without_price(session, [each.message_id for each in due]) if due else []
        paused = bool(wanted) and breakers.is_closed(session, breakers.POLLING, now=now)
    if paused or rt.stopping.is_set() or (not due and begin is not None):
        return 0
    found, end = _look_up(rt, wanted, due)
    with rt.transaction() as tx:
        filled = prices.fill_in(tx.session, found, now=now)
        counters.move_cursor(tx.session, name, cursor if end is None else end)
    if wanted:
        log.info("prices_asked", age_s=int(age.total_seconds()), wanted=len(wanted), filled=filled)
    return filled


def _due(session: Session, cursor: int, age: timedelta, now: datetime) -> list[Ended]:
    """Return the ends that are old enough, once the first of them has waited for others, or a batch is full."""
    first = prices.ended_after(session, cursor, limit=1)
    if not first or first[0].at > now - age:
        return []
    due = list(takewhile(lambda each: each.at <= now - age, prices.ended_after(session, cursor, limit=BATCH)))
    gathers = min(_GATHER, age / 5)
    return due if due and (len(due) == BATCH or due[0].at <= now - age - gathers) else []


def _look_up(
    rt: Runtime, wanted: Sequence[MessageState], due: Sequence[Ended]
) -> tuple[list[tuple[MessageState, TwilioMessage]], int | None]:
    """Return the messages that have a price at Twilio, and up to which number all were asked; None for none."""
    answers = Lookups(rt, _FETCHES)
    for group in _close_to_each_other(wanted):
        if len(group) > 1 and not answers.refusal:
            answers.list(group, limit=_PAGE * (1 + len(group) // _PAGES_PER_WANTED))
    order = {each.message_id: each.seq for each in due}
    missing = sorted(
        (message for message in wanted if message.twilio_sid not in answers.found),
        key=lambda message: order[message.id],
    )
    answers.fetch(missing[:_SINGLE])
    if answers.refusal:
        pause_polling(rt, answers.refusal)
        end = None
    else:
        end = order[missing[_SINGLE].id] - 1 if len(missing) > _SINGLE else (due[-1].seq if due else None)
    known = ((message, answers.found.get(message.twilio_sid or "")) for message in wanted)
    return [(message, twilio) for message, twilio in known if twilio and twilio.price], end


def _close_to_each_other(wanted: Sequence[MessageState]) -> Iterator[list[MessageState]]:
    group: list[MessageState] = []
    for message in sorted(wanted, key=_sent_about):
        if group and _sent_about(message) - _sent_about(group[-1]) > _GAP:
            yield group
            group = []
        group.append(message)
    if group:
        yield group


def _sent_about(message: MessageState) -> datetime:
    return message.sent_at or message.submitted_at or message.created_at
