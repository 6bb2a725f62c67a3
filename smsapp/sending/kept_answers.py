"""Answers stored with Idempotency-Keys: what they say of a person is only in the message, and is read from there."""

from typing import Any

from sqlalchemy.orm import Session

from smsapp.content.rules import CONTENT_VARIABLES
from smsapp.db import idempotency
from smsapp.db.idempotency import Answered, IdempotentRequest
from smsapp.ids import parse_public_id
from smsapp.messages import reads
from smsapp.messages.documents import message_view

_PERSONAL = frozenset(
    {"to", "body", "media_urls", "client_reference", "tags", "callback_url", CONTENT_VARIABLES}
)

Document = dict[str, Any]


def without_person(answer: Document) -> Document:
    """Return an answer as it is stored: the members that the message has are null."""
    return {name: None if name in _PERSONAL else value for name, value in answer.items()}


def recall(session: Session, request: IdempotentRequest) -> Answered | None:
    """Return the answer to a request that was sent before, as it was given, or None.

    What was removed from the message since is null in the answer, too. An answer that an earlier version stored
    whole is returned as it is.

    Raises:
        IdempotencyKeyReusedError: the key stands for another request.
    """
    found = idempotency.recall(session, request)
    if found is None or found.answer.get("to") is not None:
        return found
    message_id = parse_public_id(str(found.answer.get("id")))
    message = reads.get(session, message_id) if message_id else None
    if message is None:
        return found
    now = message_view(message)
    whole = {name: now[name] if name in _PERSONAL else value for name, value in found.answer.items()}
    return Answered(whole, replayed=True)
