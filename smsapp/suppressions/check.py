"""Refuse messages to people who do not want them, before anything is promised."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy.orm import Session

from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions


class RecipientOptedOutError(Exception):
    """The recipient has opted out of messages from this sender."""


class Route(NamedTuple):
    """Whom a message goes to, and who sends it."""

    to: str
    sender: str | None
    messaging_service_sid: str | None


def opted_out(rt: Runtime, session: Session, routes: Sequence[Route]) -> list[bool]:
    """Return for each route whether the recipient has opted out of the sender.

    One query for all of them, and none while nobody has opted out of anything.
    """
    if not rt.any_suppression.exists(partial(suppressions.any_suppressed, session)):
        return [False] * len(routes)
    pairs = suppressions.among(session, {route.to for route in routes})
    return [suppressions.concerns(to, senders, pairs) for to, *senders in routes]
