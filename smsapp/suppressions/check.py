"""Refuse messages to people who do not want them, before anything is promised."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from sqlalchemy.orm import Session

from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions


class RecipientOptedOutError(Exception):
    """The recipient has opted out of messages from this sender."""


def opted_out(rt: Runtime, session: Session, messages: Sequence[dict[str, Any]]) -> list[bool]:
    """Return for each message, given as its values, whether its recipient has opted out of its sender.

    One query for all of them, and none while nobody has opted out of anything.
    """
    if not rt.any_suppression.exists(partial(suppressions.any_suppressed, session)):
        return [False] * len(messages)
    pairs = suppressions.among(session, {values["to"] for values in messages})
    return [
        suppressions.concerns(values["to"], (values["sender"], values["messaging_service_sid"]), pairs)
        for values in messages
    ]
