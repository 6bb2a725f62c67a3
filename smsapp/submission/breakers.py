"""Circuit breakers: stop sending where it cannot succeed; a probe finds out when it can again.

A suspended account, or a sender that we no longer own, would fail every message. So the queue is parked, an operator is
alerted, and no message is lost. Throttling only slows a scope down for a while.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

import structlog
from sqlalchemy.orm import Session

from smsapp import backoff as retry
from smsapp.backoff import POLICIES, backoff
from smsapp.breakers import queries as breakers
from smsapp.runtime import Runtime
from smsapp.submission.account import Account, Standing, ask_account
from smsapp.submission.outbound import Outbound
from smsapp.twilio.gateway import Submission
from smsapp.twilio.judgement import BreakerScope, Judgement

log = structlog.get_logger(__name__)

_LONGEST_SLOWDOWN = timedelta(minutes=1)


def is_callers_own_sender(rt: Runtime, outbound: Outbound, judgement: Judgement) -> bool:
    """Return whether the fault lies with a sender that the caller chose: the caller's mistake, not an outage."""
    configured = {*rt.settings.twilio_phone_number, rt.settings.twilio_messaging_service_sid}
    return judgement.breaker is BreakerScope.SENDER and outbound.sender_key not in configured


def ask_before_parking(
    rt: Runtime, results: Sequence[tuple[Outbound, Submission]]
) -> tuple[Sequence[tuple[Outbound, Submission]], Account | None]:
    """Return the results, judged again if they refuse the account and it works, and the account if it was asked.

    Call it with no transaction open, and after the refusals: an earlier answer proves nothing about them.
    """
    if not any(_account_can_tell(result) for _, result in results):
        return results, None
    account = ask_account(rt)
    if account.standing is not Standing.WORKS:
        return results, account
    return [(outbound, _of_one_message(result)) for outbound, result in results], account


def _account_can_tell(result: Submission) -> bool:
    return result.judgement is not None and result.judgement.account_can_tell


def _of_one_message(result: Submission) -> Submission:
    if result.judgement is None or not _account_can_tell(result):
        return result
    log.warning("account_refused_for_one_message", error_code=result.judgement.code, cause=result.cause)
    return replace(result, judgement=result.judgement.of_one_message())


def trip_breakers(
    rt: Runtime,
    session: Session,
    results: Sequence[tuple[Outbound, Submission]],
    now: datetime,
    *,
    account: Account | None = None,
) -> None:
    """Trip the breaker of each scope that these refusals concern, once however many messages were refused.

    `account` is what Twilio said when asked for the account itself, None if it was not asked.
    """
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
            reason=parked_because(
                judgement.failure.sentence, account if judgement.account_can_tell else None
            ),
            now=now,
            probe_at=now + pause,
        )
        if is_news and judgement.breaker:
            log.error(
                "sending_parked",
                scope=str(scope),
                error_code=judgement.code,
                advice=judgement.failure.advice,
                account=str(account.standing) if account else None,
                cause=account.cause if account else None,
            )


def parked_because(sentence: str, account: Account | None) -> str:
    """Return why a scope is parked: Twilio's refusal, and what it says of the account if that was asked."""
    return f"{sentence} {account.sentence}" if account else sentence


def _pause(rt: Runtime, judgement: Judgement, result: Submission, now: datetime) -> timedelta:
    asked = retry.retry_after(result.retry_after, now=now)
    policy = POLICIES[judgement.wait]
    if judgement.breaker:
        return policy.base
    return min(asked or backoff(1, base=policy.base, cap=policy.cap, rng=rt.rng), _LONGEST_SLOWDOWN)
