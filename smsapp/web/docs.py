"""The API document, and a Swagger UI that works offline and under a strict Content-Security-Policy."""

from functools import cache

import orjson
from apiflask import APIFlask
from flask import Response, render_template

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def init_app(app: APIFlask) -> None:
    """Serve `/openapi.json` and `/docs`."""
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
