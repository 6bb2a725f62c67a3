"""Probe parked scopes to find out whether they work again."""

from smsapp.backoff import POLICIES, Wait
from smsapp.pacing import breaker_queries as breakers
from smsapp.pacing import due as pacing_due
from smsapp.pacing.wake_senders import wake_senders
from smsapp.queue.drain import retry_while_db_down
from smsapp.recipients.phone import mask
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.submission.breakers import log
from smsapp.submission.record import record_submissions, submit
from smsapp.twilio.error_codes import OWN_FAILURES
from smsapp.twilio.gateway import Submission
from smsapp.twilio.judgement import SubmissionVerdict


def probe_breakers(rt: Runtime) -> int:
    """Probe the parked scopes that are due: the account by fetching it, a sender with one pending message.

    Returns how many were opened.
    """
    now = rt.clock()
    with rt.transaction() as tx:
        breakers.forget_slowed(tx.session, now=now)
        due = [(breaker.scope, breaker.failures) for breaker in breakers.due_for_probe(tx.session, now=now)]
    opened = 0
    for scope, failures in due:
        if _works_again(rt, scope):
            with rt.transaction() as tx:
                breakers.release(tx.session, scope)
            log.warning(
                "sending_resumed",
                scope=_shown(scope),
            )
            opened += 1
            continue
        policy = POLICIES[Wait.PARKED]
        pause = min(policy.base * 2 ** min(failures, 16), policy.cap)
        with rt.transaction() as tx:
            breakers.postpone(tx.session, scope, probe_at=rt.clock() + pause)
    if opened:
        wake_senders(rt)
    return opened


def _shown(scope: str) -> str:
    return scope if scope == breakers.ACCOUNT or breakers.country_of(scope) else mask(scope)


def _works_again(rt: Runtime, scope: str) -> bool:
    if breakers.country_of(scope):
        return True  # the deliveries that parked it are too old to count; new ones will tell
    if scope == breakers.ACCOUNT:
        answer = rt.gateway.probe()
        return answer.judgement is None and answer.cause is None
    return _one_message_goes_through(rt, scope)


def _one_message_goes_through(rt: Runtime, sender: str) -> bool:
    """Submit one pending message of the sender; without one, assume that the sender works again."""
    now = rt.clock()
    with rt.transaction() as tx:
        claimed = claims.claim_probe(tx.session, sender, now=now, lease=rt.settings.send_lease)
    if not claimed:
        return not _anything_waits(rt, sender)
    results = [(message, submit(rt, message)) for message in claimed]
    retry_while_db_down(rt, lambda: record_submissions(rt, results))
    return all(_shows_that_it_works(result) for _, result in results)


def _shows_that_it_works(result: Submission) -> bool:
    """Return whether Twilio accepted the message, or refused it for a fault of that message alone."""
    judgement = result.judgement
    if judgement is None:
        return result.message is not None
    return (
        judgement.verdict is SubmissionVerdict.REFUSED
        and not judgement.breaker
        and judgement.code not in OWN_FAILURES
    )


def _anything_waits(rt: Runtime, sender: str) -> bool:
    with rt.sessions() as session:
        return pacing_due.has_pending(session, sender=sender)
