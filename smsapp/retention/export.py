"""What is stored about one person, as a document to hand over."""

from typing import Any
from uuid import UUID

from smsapp.db.sessions import reading
from smsapp.ids import public_job_id
from smsapp.inbound.documents import inbound_view
from smsapp.messages import reads
from smsapp.messages.documents import event_view, message_view
from smsapp.messages.models import Message
from smsapp.retention import person_queries as people
from smsapp.retention.person_queries import Phone
from smsapp.runtime import Runtime
from smsapp.suppressions.documents import suppression_view

_BATCH = 200


def export_person(rt: Runtime, phone: Phone) -> dict[str, Any]:
    """Return everything stored about a phone under any spelling, in the forms in which callers see it.

    Texts of sensitive messages are left out, as everywhere: an export travels by mail.
    """
    with reading(rt.sessions) as session:
        inbound = [inbound_view(text) for text in people.inbound_from(session, phone)]
        suppressions = [suppression_view(row) for row in people.suppressions_of(session, phone)]
        rows = [
            {"job_id": public_job_id(row.job_id), "line": row.line, "to": row.to, "state": row.state}
            for row in people.rows_to(session, phone)
        ]
    return {
        "numbers": list(phone.addresses),
        "messages": _messages(rt, phone),
        "inbound": inbound,
        "suppressions": suppressions,
        "job_rows": rows,
    }


def _messages(rt: Runtime, phone: Phone) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    last = UUID(int=0)
    while True:
        with reading(rt.sessions) as session:
            ids = people.messages_to(session, phone, after=last, limit=_BATCH)
            histories = reads.histories(session, ids)
            rows = [session.get_one(Message, message_id) for message_id in ids]
        if not ids:
            return found
        found += [
            message_view(row) | {"events": [event_view(event) for event in histories.get(row.id, [])]}
            for row in rows
        ]
        last = ids[-1]
