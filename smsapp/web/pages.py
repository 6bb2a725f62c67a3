"""What several views answer with: pages of a list; and what they ask of a request that may be repeated."""

import hashlib
from collections.abc import Callable
from typing import Any, TypeVar
from uuid import UUID

from flask import Response, request, url_for

from smsapp.db.idempotency import Idempotent
from smsapp.db.pages import Page
from smsapp.web.json_response import json_response
from smsapp.web.problems import Fault, ProblemError

T = TypeVar("T")


def page_response(
    page: Page[T], view: Callable[[T], dict[str, Any]], *, parameter: str = "cursor", key: str = "id"
) -> Response:
    """Return one page of what `view` makes of the items; the next begins after the last one's `key`, its cursor."""
    data = [view(item) for item in page]
    cursor = str(data[-1][key]) if page.has_more else None
    headers = {}
    if cursor:
        arguments = {**request.args.to_dict(), parameter: cursor, **(request.view_args or {})}
        headers["Link"] = f'<{url_for(request.endpoint or "", **arguments)}>; rel="next"'
    return json_response({"data": data, "has_more": page.has_more, "next_cursor": cursor}, 200, headers)


def idempotent(api_key_id: UUID, key: str | None, path: str, content: bytes) -> Idempotent | None:
    """Return the request's identity, and a digest of what it says; None when it has no key."""
    if key is None:
        return None
    digest = hashlib.sha256(path.encode() + b"\n" + content).hexdigest()
    return Idempotent(api_key_id, key, digest)


def key_reused() -> ProblemError:
    """Return the problem of an Idempotency-Key that was used for another request."""
    detail = "This key was used before, with another request; use a new key for a new request."
    fault = Fault("Idempotency-Key", "reused", detail)
    return ProblemError(422, "idempotency_key_reused", detail, [fault])
