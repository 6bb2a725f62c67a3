"""Compare the service's ledger with Twilio's: what was accepted, what Twilio has, and what differs."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from redis import Redis

from smsapp.callbacks.stream import CallbackStream
from smsapp.events.outbox import DatabaseOutbox
from smsapp.messages.models import Message
from smsapp.pacing.pacer import RedisPacer
from smsapp.reconciliation.check_ledger import check_histories, check_ledger
from smsapp.runtime import Runtime
from smsapp.twilio.gateway import Gateway
from smsapp.webhooks.client import WebhookPoster
from tests.support.environment import make_settings
from tests.support.fakes import FakeNews, FakeTaskQueue, FakeTwilio
from tests.support.stack import Stack

EXPLAINED = frozenset({"failed", "unconfirmed", "canceled"})
"""Outcomes of a message that Twilio never accepted; the caller was told so, with a reason."""


@dataclass(slots=True)
class Audit:
    """The result of a load. `lost`, `doubled` and `wrong` list messages, each with what was found.

    `hidden` counts messages that Twilio accepted without answering: the most that may be doubled where resending was
    allowed.
    """

    accepted: int
    at_twilio: int = 0
    unconfirmed: int = 0
    hidden: int = 0
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    ledger_faults: list[str] = field(default_factory=list)

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, doubled or wrong, and the ledger balances."""
        return not (self.lost or self.doubled or self.wrong or self.ledger_faults)


def audit(
    stack: Stack, accepted: Mapping[str, str], at_twilio: Sequence[Mapping[str, Any]] | None = None
) -> Audit:
    """Compare every accepted message (its body by id) with Twilio's ledger; bodies identify messages."""
    ledger: dict[str, list[Mapping[str, Any]]] = {body: [] for body in accepted.values()}
    for entry in stack.ledger() if at_twilio is None else at_twilio:
        if entry["body"] in ledger:
            ledger[entry["body"]].append(entry)
    rows = stack.rows(accepted)
    found = Audit(len(accepted), hidden=_hidden(ledger))
    for message_id, body in accepted.items():
        _compare(found, message_id, rows.get(message_id), ledger[body])
    found.ledger_faults = _check_ledger(stack)
    return found


def _hidden(ledger: Mapping[str, list[Mapping[str, Any]]]) -> int:
    return sum(entry["answer"] == "hidden" for entries in ledger.values() for entry in entries)


def _compare(found: Audit, message_id: str, row: Message | None, entries: list[Mapping[str, Any]]) -> None:
    found.at_twilio += bool(entries)
    if row is None:
        found.lost.append(f"{message_id}: not in the database")
        return
    found.unconfirmed += row.outcome == "unconfirmed"
    if len(entries) > 1:
        found.doubled.append(f"{message_id}: {', '.join(entry['sid'] for entry in entries)}")
    if not entries:
        if row.outcome not in EXPLAINED or (row.outcome == "failed" and row.error_code is None):
            found.lost.append(f"{message_id}: {row.status}, and Twilio never had it")
    elif not any(_agree(row, entry) for entry in entries):
        twilio = ", ".join(f"{entry['status']} {entry['error_code']}" for entry in entries)
        found.wrong.append(f"{message_id}: {row.status} {row.outcome} {row.error_code}, Twilio has {twilio}")


def _agree(row: Message, entry: Mapping[str, Any]) -> bool:
    """Return whether a row agrees with Twilio; it need not know a message that Twilio's lists hide."""
    if row.outcome == "unconfirmed":
        return entry["answer"] == "hidden" and not entry["listed"]
    return bool(row.outcome) and (row.status, row.error_code) == (entry["status"], entry["error_code"])


def _check_ledger(stack: Stack) -> list[str]:
    """Have the service check itself: every message is accounted for, and every status is the fold of its events."""
    rt = make_runtime(stack, clock=lambda: datetime.now(UTC))
    ledger = check_ledger(rt)
    _, differences = check_histories(rt)
    unbalanced = [] if ledger.balanced else [f"the ledger does not balance: {ledger}"]
    return unbalanced + [f"refolded otherwise: {difference}" for difference in differences]


def make_runtime(stack: Stack, *, clock: Callable[[], datetime], gateway: Gateway | None = None) -> Runtime:
    """Return the ports of a service in this very process, on a stack's database and Redis."""
    environment = stack.environment
    settings = make_settings(
        database_url=environment["DATABASE_URL"], redis_url=environment["REDIS_URL"], send_concurrency=8
    )
    return Runtime(
        settings=settings,
        sessions=stack.sessions,
        outbox=DatabaseOutbox(lambda _session: False),
        tasks=FakeTaskQueue(),
        stream=CallbackStream(Redis.from_url(environment["REDIS_URL"], protocol=2), consumer="faults"),
        gateway=gateway or FakeTwilio(clock),
        pacer=RedisPacer(Redis.from_url(environment["REDIS_URL"], protocol=2)),
        webhooks=WebhookPoster(settings),
        news=FakeNews(),
        clock=clock,
        drain_idle=timedelta(milliseconds=200),
    )
