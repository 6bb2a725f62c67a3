"""The clock steps by an hour, forward and back, while messages are on their way.

In one process, since no other has a clock that we can turn: the services over a real database and a real Redis, with
a Twilio that does as it is told.
"""

import logging
import random
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import structlog
from sqlalchemy import select

from dev.servers import PostgresServer
from smsapp.callbacks.track import track_callbacks
from smsapp.content.rules import compose
from smsapp.ids import callback_url, new_id
from smsapp.keys.models import ApiKey
from smsapp.maintenance import sweep
from smsapp.messages.documents import message_view
from smsapp.recipients.phone import parse_recipient
from smsapp.reconciliation.reconcile import reconcile
from smsapp.runtime import Runtime
from smsapp.sending.accept import Draft, accept_message
from smsapp.submission.outbound import Outbound
from smsapp.submission.send import send_messages
from smsapp.twilio.callback import Callback
from smsapp.twilio.gateway import Submission, TwilioMessage
from tests.support.audit import Audit, audit, make_runtime
from tests.support.bulk import POSSIBLE_NUMBER
from tests.support.environment import SENDER
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.stack import Database, Stack

STEP = timedelta(hours=1)
_BATCH = 100
_ROUNDS = 200
"""Half an hour each: the clock may stand many hours before the time at which some messages are due."""


class SteppingTwilio(FakeTwilio):
    """Accepts everything; now and then the clock steps while a message is there, or the answer is lost."""

    def __init__(self, clock: FakeClock, rng: random.Random) -> None:
        super().__init__(clock)
        self._rng = rng
        self._wall = clock
        self.latest = clock()
        self._attempts: dict[str, Outbound] = {}

    def submit(self, message: Outbound) -> Submission:
        """Take the message."""
        drawn = self._rng.random()
        if drawn < 0.02:
            self._wall.advance(self._rng.choice((STEP, -STEP)))
            self.latest = max(self.latest, self._wall())
        return self.accept_silently(message) if drawn > 0.97 else self.accept(message)

    def deliver(self) -> Iterator[Callback]:
        """Deliver what is queued, and yield the callbacks: in no order, and one in ten is lost."""
        for record in list(self.records.values()):
            if record.status != "queued":
                continue
            self.records[record.sid] = replace(record, status="delivered")
            for status in self._rng.sample(("sent", "delivered"), 2):
                if self._rng.random() > 0.1:
                    yield self._callback(record, status)

    def _take(self, message: Outbound) -> TwilioMessage:
        record = super()._take(message)
        self._attempts[record.sid] = message
        return record

    def _callback(self, record: TwilioMessage, status: str) -> Callback:
        message = self._attempts[record.sid]
        address = urlsplit(callback_url("https://sms.example.test", message.id, message.attempt))
        return Callback(
            receipt_id=new_id(),
            kind="status",
            target=address.path.rpartition("/")[2],
            body=urlencode({"MessageSid": record.sid, "MessageStatus": status, "To": record.to}),
            idempotency_token=None,
            received_at=self._wall(),
        )


def run_clock_case(
    folder: Path, database: Database, count: int, postgres: PostgresServer | None
) -> tuple[Audit, float]:
    """Send messages and their callbacks while the clock steps; return the audit, and how long recovery took."""
    rng = random.Random(11)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with Stack(folder, database=database, postgres=postgres, only=()) as stack:
        clock = FakeClock()
        twilio = SteppingTwilio(clock, rng)
        rt = make_runtime(stack, clock=clock, gateway=twilio)
        accepted: dict[str, str] = {}
        for _ in range(0, count, _BATCH):
            accepted |= dict(_accept(rt, stack, min(_BATCH, count - len(accepted))))
            send_messages(rt)
            _call_back(rt, twilio)
            clock.advance(rng.choice((STEP, -STEP, timedelta(seconds=5))))
            twilio.latest = max(twilio.latest, clock())
            _work(rt)
        # A clock that was set back is right again some day; what it once promised for later is due then.
        clock.advance(max(timedelta(0), twilio.latest - clock()))
        began = time.monotonic()
        for _ in range(_ROUNDS):
            clock.advance(timedelta(minutes=30))
            _call_back(rt, twilio)
            _work(rt)
            if not stack.unsettled(accepted):
                break
        return audit(stack, accepted, _ledger(twilio)), time.monotonic() - began


def _accept(rt: Runtime, stack: Stack, count: int) -> Iterator[tuple[str, str]]:
    """Accept some messages as the API would and yield their ids and texts."""
    with stack.database() as session:
        api_key_id = session.scalars(select(ApiKey.id)).one()
    for number in range(count):
        body = uuid4().hex
        draft = Draft(
            recipient=parse_recipient(POSSIBLE_NUMBER(number)),
            sender=SENDER,
            messaging_service_sid=None,
            content=compose(body),
            api_key_id=api_key_id,
        )
        answer = accept_message(rt, draft, render=lambda values: {"id": message_view(values)["id"]}).answer
        yield answer["id"], body


def _work(rt: Runtime) -> None:
    """Do what the workers do, in an order that need not suit the messages."""
    send_messages(rt)
    track_callbacks(rt)
    sweep(rt)
    reconcile(rt)


def _call_back(rt: Runtime, twilio: SteppingTwilio) -> None:
    """Put the callbacks where the web would put them."""
    callbacks = list(twilio.deliver())
    if callbacks:
        rt.stream.append(callbacks, flag="smsapp:clock", flag_ttl_ms=1)


def _ledger(twilio: SteppingTwilio) -> list[dict[str, object]]:
    """Return Twilio's view as the simulator's ledger would."""
    return [
        {
            "sid": record.sid,
            "body": record.body,
            "status": record.status,
            "error_code": None,
            "answer": "given",
            "listed": True,
        }
        for record in twilio.records.values()
    ]
