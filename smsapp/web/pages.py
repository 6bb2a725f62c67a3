"""Pages of lists as answers, with the way to the next one."""

from collections.abc import Callable
from typing import Any, TypeVar

from flask import Response, request, url_for

from smsapp.db.pages import Page
from smsapp.web.json_response import json_response

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
