"""JSON answers."""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response


def json_response(document: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return a document as JSON."""
    return Response(orjson.dumps(document), status, headers, content_type="application/json")
