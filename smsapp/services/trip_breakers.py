"""Stop sending where it cannot succeed, and find out by ourselves when it can again.

An account that is suspended, or a sender that is not ours any more, would fail every message; so the queue is parked,
somebody is alerted, and nothing is lost. Throttling only slows a scope down for a while.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from smsapp.domain import retry
from smsapp.domain.failures import OWN_FAILURES
from smsapp.domain.judgement import BreakerScope, Judgement, Verdict
from smsapp.domain.outbound import Outbound
from smsapp.domain.phone import mask
from smsapp.domain.retry import POLICIES, Wait, backoff
from smsapp.gateway.twilio import Submission
from smsapp.runtime import Runtime
from smsapp.services.drain import outlast
from smsapp.services.wake_senders import wake_senders
from smsapp.store import breakers, claims

log = structlog.get_logger(__name__)

_LONGEST_SLOWDOWN = timedelta(minutes=1)


def is_callers_own_sender(rt: Runtime, outbound: Outbound, judgement: Judgement) -> bool:
    """Return whether the fault is in a sender that the caller chose: that is the caller's mistake, not an outage."""
    configured = {*rt.settings.twilio_phone_number, rt.settings.twilio_messaging_service_sid}
    return judgement.breaker is BreakerScope.SENDER and outbound.sender_key not in configured


def trip_breakers(
    rt: Runtime, session: Session, results: Sequence[tuple[Outbound, Submission]], now: datetime
) -> None:
    """Close the scopes that these refusals concern; each once, however many messages met it."""
    for outbound, result in results:
        judgement = result.judgement
        if judgement is None or is_callers_own_sender(rt, outbound, judgement):
            continue
        scope = judgement.breaker or judgement.slows
        if scope is None:
            continue
        key = breakers.ACCOUNT if scope is BreakerScope.ACCOUNT else outbound.sender_key
        pause = _pause(rt, judgement, result, now)
        is_news = breakers.trip(
            session,
            key,
            parked=judgement.breaker is not None,
            error_code=judgement.code,
            reason=judgement.failure.sentence,
            now=now,
            probe_at=now + pause,
        )
        if is_news and judgement.breaker:
            log.error(
                "sending_parked", scope=str(scope), error_code=judgement.code, advice=judgement.failure.advice
            )


def _pause(rt: Runtime, judgement: Judgement, result: Submission, now: datetime) -> timedelta:
    asked = retry.retry_after(result.retry_after, now=now)
    policy = POLICIES[judgement.wait]
    if judgement.breaker:
        return policy.base
    return min(asked or backoff(1, base=policy.base, cap=policy.cap, rng=rt.rng), _LONGEST_SLOWDOWN)


def probe_breakers(rt: Runtime) -> int:
    """Try parked scopes whose time has come: the account by asking for it, a sender with one waiting message.

    Returns how many were opened.
    """
    now = rt.clock()
    with rt.sessions.begin() as session:
        breakers.forget_slowed(session, now=now)
        due = [(breaker.scope, breaker.failures) for breaker in breakers.due_for_probe(session, now=now)]
    opened = 0
    for scope, failures in due:
        if _works_again(rt, scope):
            with rt.sessions.begin() as session:
                breakers.release(session, scope)
            log.warning(
                "sending_resumed",
                scope=_shown(scope),
            )
            opened += 1
            continue
        policy = POLICIES[Wait.PARKED]
        pause = min(policy.base * 2 ** min(failures, 16), policy.cap)
        with rt.sessions.begin() as session:
            breakers.postpone(session, scope, probe_at=rt.clock() + pause)
    if opened:
        wake_senders(rt)
    return opened


def _shown(scope: str) -> str:
    return scope if scope == breakers.ACCOUNT or breakers.country_of(scope) else mask(scope)


def _works_again(rt: Runtime, scope: str) -> bool:
    if breakers.country_of(scope):
        return True  # what was judged is too old to count; what goes out now tells
    if scope == breakers.ACCOUNT:
        answer = rt.gateway.probe()
        return answer.judgement is None and answer.cause is None
    return _one_message_goes_through(rt, scope)


def _one_message_goes_through(rt: Runtime, sender: str) -> bool:
    """Submit one waiting message of the sender; without one, nothing shows that the sender still fails."""
    from smsapp.services.record_submissions import (  # noqa: PLC0415 - it trips breakers itself
        record_submissions,
        submit,
    )

    now = rt.clock()
    with rt.sessions.begin() as session:
        claimed = claims.claim_probe(session, sender, now=now, lease=rt.settings.send_lease)
    if not claimed:
        return not _anything_waits(rt, sender)
    results = [(message, submit(rt, message)) for message in claimed]
    outlast(rt, lambda: record_submissions(rt, results))
    return all(_shows_that_it_works(result) for _, result in results)


def _shows_that_it_works(result: Submission) -> bool:
    """Return whether Twilio took the message, or refused it for a fault of the message's own."""
    judgement = result.judgement
    if judgement is None:
        return result.message is not None
    return (
        judgement.verdict is Verdict.REFUSED and not judgement.breaker and judgement.code not in OWN_FAILURES
    )


def _anything_waits(rt: Runtime, sender: str) -> bool:
    with rt.sessions() as session:
        return claims.has_pending(session, sender=sender)
