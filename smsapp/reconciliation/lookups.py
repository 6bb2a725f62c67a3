"""Look messages up at Twilio with few requests, and stop asking when it does not answer."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import structlog

from smsapp import backoff as retry
from smsapp.backoff import POLICIES, Wait
from smsapp.breakers import queries as breakers
from smsapp.messages.fold import MessageState
from smsapp.runtime import Runtime
from smsapp.twilio.gateway import TwilioMessage, TwilioUnavailableError

log = structlog.get_logger(__name__)

_LISTING_PAYS_FROM = 20
_LISTED_PER_QUESTION = 20
"""A list page holds up to 1000 messages, so listing this many per wanted message still saves requests."""

_LIST_MARGIN = timedelta(minutes=5)


class Lookups:
    """Twilio's records of messages, by SID; None for one that it does not have (any more).

    `refused` holds messages whose own lookup failed; `refusal` is set when Twilio answers no request at present.
    """

    def __init__(self, rt: Runtime, fetches: int) -> None:
        self._rt = rt
        self._fetches = fetches
        self.found: dict[str, TwilioMessage | None] = {}
        self.refused: list[MessageState] = []
        self.refusal: TwilioUnavailableError | None = None

    def gather(self, wanted: Sequence[MessageState]) -> None:
        """Look up each message, by list where that is cheaper; stop when Twilio does not answer."""
        if len(wanted) >= _LISTING_PAYS_FROM:
            self.list(wanted, limit=len(wanted) * _LISTED_PER_QUESTION)
        self.fetch([message for message in wanted if message.twilio_sid not in self.found])

    def list(self, wanted: Sequence[MessageState], *, limit: int) -> None:
        """Look the messages up in a list of what was sent in their time, which ends after `limit` messages."""
        sids = {message.twilio_sid for message in wanted}
        times = [message.sent_at or message.submitted_at or message.created_at for message in wanted]
        try:
            listed = self._rt.gateway.list_sent(
                after=min(times) - _LIST_MARGIN, before=max(times) + _LIST_MARGIN, limit=limit
            )
            self.found |= {found.sid: found for found in listed if found.sid in sids}
        except TwilioUnavailableError as error:
            self.note(error)

    def fetch(self, wanted: Sequence[MessageState]) -> None:
        """Look each message up by its SID; stop when Twilio does not answer."""
        with ThreadPoolExecutor(self._fetches, thread_name_prefix="poll") as pool:
            for _ in pool.map(self._fetch, wanted):
                pass

    def note(self, error: TwilioUnavailableError, message: MessageState | None = None) -> None:
        """Record why a lookup failed: for this message only, or for all."""
        if not error.concerns_one:
            self.refusal = error
        elif message is not None:
            self.refused.append(message)

    def _fetch(self, message: MessageState) -> None:
        assert message.twilio_sid
        if self.refusal or self._rt.stopping.is_set():
            return
        try:
            self.found[message.twilio_sid] = self._rt.gateway.fetch(message.twilio_sid)
        except TwilioUnavailableError as error:
            self.note(error, message)


def pause_polling(rt: Runtime, refusal: TwilioUnavailableError) -> None:
    """Pause polling for as long as Twilio asks, or for a short default."""
    now = rt.clock()
    pause = retry.retry_after(refusal.retry_after, now=now) or POLICIES[Wait.THROTTLED].cap
    log.warning("reconcile_paused", cause=str(refusal), seconds=pause.total_seconds())
    with rt.transaction() as tx:
        breakers.trip(
            tx.session,
            breakers.POLLING,
            parked=False,
            error_code=refusal.code,
            reason="Twilio does not answer questions at present.",
            now=now,
            probe_at=now + pause,
        )
