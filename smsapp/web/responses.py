"""Responses of views: JSON documents, pages of lists, and the headers of a new resource."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import orjson
from flask import Response, request, url_for

from smsapp.db.idempotency import Answered
from smsapp.db.pages import Page

T = TypeVar("T")


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as JSON."""
    return Response(orjson.dumps(document), status, headers, content_type="application/json")


def page_response(
    page: Page[T], view: Callable[[T], dict[str, Any]], *, parameter: str = "cursor", key: str = "id"
) -> Response:
    """Return one page of items as `view` shows them; the last item's `key` is the cursor of the next page."""
    data = [view(item) for item in page]
    cursor = str(data[-1][key]) if page.has_more else None
    headers = {}
    if cursor:
        arguments = {**request.args.to_dict(), parameter: cursor, **(request.view_args or {})}
        headers["Link"] = f'<{url_for(request.endpoint or "", **arguments)}>; rel="next"'
    return json_response({"data": data, "has_more": page.has_more, "next_cursor": cursor}, 200, headers)


def answer_headers(answered: Answered, location: str) -> dict[str, str]:
    """Return a response's headers: the location of the new resource, and whether this response is a replay."""
    return {"Location": location} | ({"Idempotent-Replayed": "true"} if answered.replayed else {})
