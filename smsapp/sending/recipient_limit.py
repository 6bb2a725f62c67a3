"""A limit on messages to one phone: whoever can make the service send should not be able to bomb a number with it."""

from collections import Counter
from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from smsapp.ids import first_id_at
from smsapp.messages.models import Message
from smsapp.recipients.identity import identity, spellings
from smsapp.recipients.phone import WHATSAPP, split_address
from smsapp.runtime import Runtime

DAY = timedelta(hours=24)


class RecipientLimitError(Exception):
    """The recipient has been sent as many messages within 24 hours as are allowed (`RECIPIENT_DAILY_LIMIT`)."""


def above_limit(rt: Runtime, session: Session, recipients: Sequence[str]) -> list[bool]:
    """Return for each recipient whether one more message is too many, those before it in the sequence included.

    A phone is one under every spelling and on every channel. One query for all, and none without a limit. Transactions
    that run at the same moment do not see each other's messages, so a burst can exceed the limit by a few.
    """
    limit = rt.settings.recipient_daily_limit
    if limit is None:
        return [False] * len(recipients)
    phones = [_phone(to) for to in recipients]
    addresses = {
        channel + each for phone in phones for each in spellings(phone) for channel in ("", WHATSAPP)
    }
    query = (
        select(Message.to, func.count())
        .where(Message.to.in_(addresses), Message.id >= first_id_at(rt.clock() - DAY))
        .group_by(Message.to)
    )
    sent: Counter[str] = Counter()
    for to, count in session.execute(query):
        sent[_phone(to)] += count
    found = []
    for phone in phones:
        found.append(sent[phone] >= limit)
        sent[phone] += 1
    return found


def _phone(to: str) -> str:
    return identity(split_address(to)[1])
