"""Refused callbacks as callers see them."""

from typing import Any

from smsapp.ids import prefixed_id
from smsapp.refusals.models import RefusedCallback
from smsapp.refusals.rules import advice
from smsapp.times import rfc3339


def refusal_view(refusal: RefusedCallback) -> dict[str, Any]:
    """Return a refusal as callers see it."""
    return {
        "id": prefixed_id("ref", refusal.id),
        "kind": refusal.kind,
        "reason": refusal.reason,
        "count": refusal.count,
        "path": refusal.path,
        "scheme": refusal.scheme,
        "host": refusal.host,
        "parameters": refusal.parameters,
        "account": refusal.account,
        "signed_url": refusal.signed_url,
        "differs": refusal.differs or [],
        "advice": advice(refusal.reason, refusal.account, refusal.signed_url, refusal.differs or ()),
        "first_at": rfc3339(refusal.first_at),
        "last_at": rfc3339(refusal.last_at),
    }
