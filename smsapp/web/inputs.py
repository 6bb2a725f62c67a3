"""Reading requests: APIFlask's pydantic adapter, answering with pointers to every faulty field at once."""

from typing import Any

import orjson
from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from smsapp.web.problems import Fault, ProblemError


class InputAdapter(PydanticAdapter):
    """Validates JSON bodies and query strings strictly."""

    def validate_input(self, request: Request, location: str, **_kwargs: Any) -> BaseModel:
        """Return the input as its model.

        Raises:
            ProblemError: 400 naming each faulty field, 415 for another content type.
        """
        raw = _json(request) if location == "json" else _query(request)
        try:
            return self.model_class.model_validate(raw)
        except ValidationError as error:
            faults = [_fault(item, location) for item in error.errors(include_url=False, include_input=False)]
            detail = "The request has faults; `errors` names each." if len(faults) > 1 else faults[0].detail
            raise ProblemError(400, "invalid_request", detail, faults) from None


def install() -> None:
    """Make APIFlask use this adapter for every pydantic model."""
    registry.register("pydantic", InputAdapter)


def _json(request: Request) -> object:
    if not request.is_json:
        raise ProblemError(415, "unsupported_media_type", "Send JSON, with Content-Type: application/json.")
    try:
        return orjson.loads(request.get_data(cache=False))
    except orjson.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        fault = Fault("", "malformed_json", f"Not JSON at {where}.")
        raise ProblemError(400, "malformed_json", f"The body is not JSON; see {where}.", [fault]) from None


def _query(request: Request) -> dict[str, str]:
    repeated = [name for name, values in request.args.lists() if len(values) > 1]
    if repeated:
        faults = [Fault(f"?{name}", "repeated", "Give this parameter once.") for name in repeated]
        raise ProblemError(400, "invalid_request", "A query parameter is given more than once.", faults)
    return request.args.to_dict()


def _fault(error: ErrorDetails, location: str) -> Fault:
    path = [str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"]]
    pointer = "".join(f"/{part}" for part in path) if location == "json" else "?" + ".".join(path)
    return Fault(pointer, _CODES.get(error["type"], error["type"]), _sentence(error))


def _sentence(error: ErrorDetails) -> str:
    known = {
        "missing": "This field is required.",
        "extra_forbidden": "There is no such field.",
        "value_error": error["msg"].removeprefix("Value error, "),
    }
    text = known.get(error["type"], error["msg"])
    return text if text.endswith(".") else f"{text}."


_CODES = {"extra_forbidden": "unknown_field", "value_error": "invalid", "missing": "required"}
