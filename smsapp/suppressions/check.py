"""Refuse messages to recipients who have opted out, before they are accepted."""

from collections.abc import Sequence
from functools import partial

from sqlalchemy.orm import Session

from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions.rules import Route


class RecipientOptedOutError(Exception):
    """The recipient has opted out of messages from this sender."""


def opted_out(rt: Runtime, session: Session, routes: Sequence[Route]) -> list[bool]:
    """Return for each route whether the recipient has opted out of the sender.

    One query for all of them, and none while there are no suppressions.
    """
    if not rt.any_suppression.exists(partial(suppressions.any_suppressed, session)):
        return [False] * len(routes)
    pairs = suppressions.among(session, routes)
    return [suppressions.forbids(pairs, route) for route in routes]
