"""Refuse messages to recipients who have opted out, before they are accepted."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from sqlalchemy.orm import Session

from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions


class RecipientOptedOutError(Exception):
    """The recipient has opted out of messages from this sender."""


class Route(NamedTuple):
    """A message's recipient and sender."""

    to: str
    sender: str | None
    messaging_service_sid: str | None


def opted_out(rt: Runtime, session: Session, routes: Sequence[Route]) -> list[bool]:
    """Return for each route whether the recipient has opted out of the sender.

    One query for all of them, and none while there are no suppressions.
    """
    if not rt.any_suppression.exists(partial(suppressions.any_suppressed, session)):
        return [False] * len(routes)
    pairs = suppressions.among(session, {route.to for route in routes})
    return [suppressions.concerns(to, senders, pairs) for to, *senders in routes]
