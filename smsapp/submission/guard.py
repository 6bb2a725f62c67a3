"""Hold messages that look like abuse: those over a daily cap, or to a country where hardly any are delivered."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial

import structlog
from sqlalchemy.orm import Session

from smsapp.audit import queries as audit
from smsapp.audit.rules import Act
from smsapp.breakers import queries as breakers
from smsapp.db.sessions import reading
from smsapp.ids import new_id
from smsapp.lifecycle.apply import apply
from smsapp.messages.fold import Event, MessageState, Source, Step, apply_step
from smsapp.messages.status import Status
from smsapp.pacing import tallies
from smsapp.pacing.caps import day_of, hold_over, next_day
from smsapp.pacing.wake_senders import wake_senders
from smsapp.runtime import Runtime
from smsapp.submission.outbound import Hold, Outbound
from smsapp.twilio.error_codes import OwnCode

log = structlog.get_logger(__name__)

_BATCH = 500
_KEEP_TALLIES = timedelta(days=8)


def guard(rt: Runtime, session: Session, claimed: Sequence[Outbound]) -> list[Outbound]:
    """Return the claimed messages; one that may not go out now carries the reason and how long it is held.

    Runs in the transaction of the claim, so that the counts are exact however many workers claim at once.
    """
    now = rt.clock()
    guarded = list(claimed)
    if rt.settings.min_delivery_ratio:
        guarded = _hold_parked(session, guarded)
    if rt.settings.caps:
        guarded = _hold_capped(rt, session, guarded, now)
    return guarded


def _hold_parked(session: Session, claimed: list[Outbound]) -> list[Outbound]:
    parked = breakers.parked_countries(session)
    if not parked:
        return claimed
    return [
        replace(each, hold=Hold(parked[each.country], OwnCode.COUNTRY_PARKED))
        if each.country in parked
        else each
        for each in claimed
    ]


def _hold_capped(rt: Runtime, session: Session, claimed: list[Outbound], now: datetime) -> list[Outbound]:
    caps = rt.settings.caps
    # A later attempt was counted with the first. A message that is not attempted now is counted when it is.
    places = [n for n, each in enumerate(claimed) if each.attempt == 1 and each.may_go(now)]
    countries = [claimed[place].country or "" for place in places]
    amounts = Counter(scope for country in countries for scope in caps.of(country))
    if not amounts:
        return claimed
    held = hold_over(countries, tallies.add(session, day_of(now), amounts), caps)
    if held:
        back = Counter(scope for place, _ in held for scope in caps.of(countries[place]))
        tallies.add(session, day_of(now), {scope: -count for scope, count in back.items()})
        log.warning("cap_reached", held=len(held), codes=sorted({int(code) for _, code in held}))
    for place, code in held:
        claimed[places[place]] = replace(claimed[places[place]], hold=Hold(next_day(now), code))
    return claimed


def check_delivery(rt: Runtime) -> int:
    """Park countries where too few of the finished messages were delivered; return how many were parked."""
    least, now = rt.settings.min_delivery_ratio, rt.clock()
    if not least:
        return 0
    with reading(rt.sessions) as session:
        poor = [
            each
            for each in tallies.delivered_by_country(session, since=now - rt.settings.delivery_window)
            if each.ended >= rt.settings.delivery_sample and each.delivered < least * each.ended
        ]
    with rt.transaction() as tx:
        tallies.forget(tx.session, before=day_of(now - _KEEP_TALLIES))
        known = {breaker.scope for breaker in breakers.all_of(tx.session)}  # parked, or opened by an operator
        poor = [each for each in poor if breakers.country_scope(each.country) not in known]
        for each in poor:
            breakers.trip(
                tx.session,
                breakers.country_scope(each.country),
                parked=True,
                error_code=OwnCode.COUNTRY_PARKED,
                reason=f"Of {each.ended} messages that ended, {each.delivered} were delivered.",
                now=now,
                probe_at=now + rt.settings.delivery_window,
            )
    for each in poor:
        log.error("country_parked", country=each.country, ended=each.ended, delivered=each.delivered)
    return len(poor)


def open_country(rt: Runtime, country: str) -> bool:
    """Open a parked country for the length of the delivery window, or longer; return whether it was parked."""
    now = rt.clock()
    with rt.transaction() as tx:
        opened = breakers.open_by_hand(
            tx.session, breakers.country_scope(country), until=now + rt.settings.delivery_window
        )
        if opened:
            audit.record(tx.session, Act.BREAKER_RELEASED, breakers.country_scope(country), now=now)
    if opened:
        release_held(rt, country)
    return opened


def release_held(rt: Runtime, country: str | None = None) -> int:
    """Release the messages that a guard holds, to one country or to all; return how many.

    Today's caps rise by that number.
    """
    total = 0
    while released := _release_some(rt, country):
        total += released
    wake_senders(rt)
    return total


def _release_some(rt: Runtime, country: str | None) -> int:
    now = rt.clock()
    with rt.transaction() as tx:
        waiting = tallies.held_messages(tx.session, country=country, now=now, limit=_BATCH)
        changes = apply(rt, tx, waiting, partial(_released, now=now))
        countries = [waiting[change.before.id] or "" for change in changes]
        back = Counter(scope for each in countries for scope in rt.settings.caps.of(each))
        if back:
            tallies.add(tx.session, day_of(now), {scope: -count for scope, count in back.items()})
        if changes:
            audit.record(tx.session, Act.HELD_RELEASED, country, now=now, details={"count": len(changes)})
    return len(changes)


def _released(message: MessageState, *, now: datetime) -> tuple[MessageState, Event] | None:
    if message.status is not Status.PENDING or message.error_code not in tallies.HOLDS:
        return None
    step = Step(
        source=Source.OPERATOR,
        status=Status.PENDING,
        attempt=message.attempt,
        at=now,
        receipt_id=new_id(),
        due_at=now,
        reason="released",
    )
    return apply_step(message, step)
