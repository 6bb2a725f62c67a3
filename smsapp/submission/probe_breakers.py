"""Probe parked scopes to find out whether they work again."""

from datetime import timedelta

from smsapp.backoff import POLICIES, Wait
from smsapp.breakers import queries as breakers
from smsapp.pacing import due as pacing_due
from smsapp.pacing.wake_senders import wake_senders
from smsapp.queue.drain import retry_while_db_down
from smsapp.recipients.phone import mask
from smsapp.runtime import Runtime
from smsapp.submission import queries as claims
from smsapp.submission.account import Standing, ask_account
from smsapp.submission.breakers import log, parked_because
from smsapp.submission.record import record_submissions, submit
from smsapp.twilio.error_codes import OWN_FAILURES, explain
from smsapp.twilio.gateway import Submission
from smsapp.twilio.judgement import SubmissionVerdict, shows_at_the_account

_ACCOUNT_AT_LEAST_EVERY = timedelta(minutes=1)
"""Fetching the account risks no message and costs nothing, so sending resumes soon after it works again."""


def probe_breakers(rt: Runtime) -> int:
    """Probe the parked scopes that are due: the account by fetching it, where that tells; else with one message.

    Returns how many were opened.
    """
    now = rt.clock()
    with rt.transaction() as tx:
        breakers.forget_slowed(tx.session, now=now)
        due = [
            (breaker.scope, breaker.failures, breaker.error_code)
            for breaker in breakers.due_for_probe(tx.session, now=now)
        ]
    opened = 0
    for scope, failures, code in due:
        works, reason = _look(rt, scope, code)
        if works:
            with rt.transaction() as tx:
                breakers.release(tx.session, scope)
            log.warning("sending_resumed", scope=_shown(scope))
            opened += 1
            continue
        policy = POLICIES[Wait.PARKED]
        longest = _ACCOUNT_AT_LEAST_EVERY if _is_asked(scope, code) else policy.cap
        pause = min(policy.base * 2 ** min(failures, 16), longest)
        with rt.transaction() as tx:
            breakers.postpone(tx.session, scope, probe_at=rt.clock() + pause, reason=reason)
    if opened:
        wake_senders(rt)
    return opened


def _shown(scope: str) -> str:
    return scope if scope == breakers.ACCOUNT or breakers.country_of(scope) else mask(scope)


def _look(rt: Runtime, scope: str, code: int | None) -> tuple[bool, str | None]:
    """Return whether the scope works again; if not, why it stays parked, None for the reason it was parked for."""
    if breakers.country_of(scope):
        return True, None  # the deliveries that parked it are too old to count; new ones will tell
    if not _is_asked(scope, code):
        return _one_message_goes_through(rt, None if scope == breakers.ACCOUNT else scope), None
    account = ask_account(rt)
    return account.standing is Standing.WORKS, parked_because(
        explain(code, http_status=401).sentence, account
    )


def _is_asked(scope: str, code: int | None) -> bool:
    """Return whether fetching the account tells if a scope works again."""
    return scope == breakers.ACCOUNT and shows_at_the_account(code)


def _one_message_goes_through(rt: Runtime, sender: str | None) -> bool:
    """Submit one pending message of the sender, or of any; without one, assume that the sender works again."""
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


def _anything_waits(rt: Runtime, sender: str | None) -> bool:
    with rt.sessions() as session:
        return pacing_due.has_pending(session, sender=sender)
