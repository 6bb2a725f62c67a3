"""What anybody may read: the API document, a Swagger UI that works offline and under a strict Content-Security-Policy,
and whom to tell about a vulnerability (RFC 9116).
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache

import orjson
from apiflask import APIFlask
from flask import Response, abort, render_template

from smsapp.config import Settings
from smsapp.times import rfc3339

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


_VALID_FOR = timedelta(days=90)
"""Counted from each reading: whoever can read it sees that it is kept up. RFC 9116 advises less than a year."""


def init_app(app: APIFlask, settings: Settings, clock: Callable[[], datetime]) -> None:
    """Serve `/openapi.json`, `/docs`, and `/.well-known/security.txt` if there is a contact."""
    document = cache(lambda: orjson.dumps(app.spec))

    @app.get("/openapi.json")
    @app.doc(hide=True)
    def openapi() -> Response:
        """Return the API document."""
        return Response(document(), content_type="application/json")

    @app.get("/docs")
    @app.doc(hide=True)
    def docs() -> Response:
        """Return the interactive reference."""
        response = Response(render_template("docs.html"))
        response.headers["Content-Security-Policy"] = _CSP
        return response

    @app.get("/.well-known/security.txt")
    @app.doc(hide=True)
    def security_txt() -> Response:
        """Return whom to tell about a vulnerability."""
        if settings.security_contact is None:
            abort(404)
        lines = [
            f"Contact: {settings.security_contact}",
            f"Expires: {rfc3339(clock() + _VALID_FOR)}",
            f"Canonical: {settings.app_base_url}/.well-known/security.txt",
        ]
        return Response("\n".join(lines) + "\n", content_type="text/plain; charset=utf-8")
