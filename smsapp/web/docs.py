"""The OpenAPI document and a Swagger UI that works offline and under a strict Content-Security-Policy."""

from typing import Any

from apiflask import APIFlask
from flask import Response, render_template
from pydantic.json_schema import models_json_schema

from smsapp.web import schemas
from smsapp.web.json_response import json_response

_CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def init_app(app: APIFlask) -> None:
    """Serve `/openapi.json` and `/docs`."""
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_OPERATION_ID=True,
        AUTO_200_RESPONSE=False,
        INFO={
            "description": "Sends SMS through Twilio and can always say what became of each one.",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
    )

    @app.spec_processor
    def _add_components(spec: dict[str, Any] | str) -> dict[str, Any] | str:
        assert isinstance(spec, dict)
        _, definitions = models_json_schema(
            [(model, "serialization") for model in schemas.COMPONENTS],
            ref_template="#/components/schemas/{model}",
        )
        spec.setdefault("components", {}).setdefault("schemas", {}).update(definitions["$defs"])
        return spec

    @app.get("/openapi.json")
    @app.doc(hide=True)
    def openapi() -> Response:
        """Return the API document."""
        return json_response(app.spec)

    @app.get("/docs")
    @app.doc(hide=True)
    def docs() -> Response:
        """Return the interactive reference."""
        response = Response(render_template("docs.html"))
        response.headers["Content-Security-Policy"] = _CSP
        return response
