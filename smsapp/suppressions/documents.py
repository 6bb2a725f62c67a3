"""Inbound texts and opt-outs as the documents that callers see."""

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from smsapp.ids import suppression_id
from smsapp.suppressions.import_rows import Imported
from smsapp.suppressions.models import Suppression, SuppressionEvent
from smsapp.suppressions.rules import EVERY_SENDER, is_service
from smsapp.times import rfc3339


def suppression_view(suppression: Suppression) -> dict[str, Any]:
    """Return a suppression as callers see it."""
    scope = suppression.scope
    return {
        "id": suppression_id(suppression.id),
        "recipient": suppression.recipient,
        "sender": None if scope == EVERY_SENDER or is_service(scope) else scope,
        "messaging_service_sid": scope if is_service(scope) else None,
        "every_sender": scope == EVERY_SENDER,
        "active": suppression.suppressed,
        "source": suppression.source,
        "note": suppression.note,
        "reference": suppression.reference,
        "since": rfc3339(suppression.since),
    }


def detail_view(
    suppression: Suppression, history: Sequence[SuppressionEvent], keys: Mapping[UUID, str]
) -> dict[str, Any]:
    """Return a suppression with its history; `keys` has the beginning of each API key by its id."""
    lines = [
        {
            "suppresses": line.suppressed,
            "applied": line.applied,
            "source": line.source,
            "note": line.note,
            "reference": line.reference,
            "by_key": keys.get(line.api_key_id) if line.api_key_id else None,
            "at": rfc3339(line.at),
            "recorded_at": rfc3339(line.recorded_at),
        }
        for line in history
    ]
    return suppression_view(suppression) | {"history": lines}


def import_view(imported: Imported) -> dict[str, Any]:
    """Return what became of the rows of an import."""
    return {
        "rows": imported.rows,
        "added": imported.added,
        "known": imported.known,
        "faulty": imported.faulty,
        "faults": [
            {"line": fault.line, "column": fault.column, "code": fault.code, "reason": fault.sentence}
            for fault in imported.faults
        ],
    }
