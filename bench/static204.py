"""The smallest possible application, to measure the cost of the server itself: `gunicorn … bench.static204:app`."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from smsapp.web.plain_http import EXTENSION, Answer, Handler

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def app(_environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Answer 204 to anything."""
    start_response("204 No Content", [])
    return []


class _Fast:
    """The same by the callbacks' fast path."""

    def __init__(self) -> None:
        answer = Answer("204 No Content", [], b"")
        handlers: dict[str, Handler] = {"/": lambda _request: answer}
        self.extensions = {EXTENSION: handlers}

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        return app(environ, start_response)


fast = _Fast()
