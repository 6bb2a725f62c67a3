"""The least that a WSGI application can do, to know what the server itself takes: `gunicorn … bench.static204:app`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def app(_environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer 204 to anything."""
    start_response("204 No Content", [])
    return []
