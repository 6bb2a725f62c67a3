"""Validate requests: APIFlask's pydantic adapter, which reports every faulty field at once, each with a pointer."""

import re
from collections.abc import Sequence
from typing import Any

from apiflask.schema_adapters import registry
from apiflask.schema_adapters.pydantic import PydanticAdapter
from flask import Request
from pydantic import BaseModel, ValidationError
from pydantic.json_schema import GenerateJsonSchema
from pydantic_core import ErrorDetails, core_schema
from werkzeug.exceptions import RequestEntityTooLarge

from smsapp.web.plain_http import JSON_TYPE, media_type
from smsapp.web.problems import Fault, ProblemError, invalid_request

MAX_FAULTS = 100
"""The most faults that a response lists; a request of 64 KiB could have ten thousand."""

SCHEMA_REF = "#/components/schemas/{model}"

_PLAIN_NAME = re.compile(r"[A-Za-z_][\w.-]{0,63}|[0-9]{1,3}", re.ASCII)


class PlainSchemas(GenerateJsonSchema):
    """JSON Schema without titles that only repeat a field's name, and without defaults of null."""

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> dict[str, Any]:
        """Leave out a default of null, which says only that the field may be absent."""
        described = super().default_schema(schema)
        return {name: value for name, value in described.items() if (name, value) != ("default", None)}

    def field_title_should_be_set(self, _schema: Any) -> bool:
        """Leave out the title."""
        return False


class InputAdapter(PydanticAdapter):
    """Validates JSON bodies, query strings and headers."""

    def validate_input(self, request: Request, location: str, **_kwargs: Any) -> BaseModel:
        """Return the validated model.

        Raises:
            ProblemError: 400 naming each faulty field, 415 for another content type.
        """
        faults = _repeated(request) if location == "query" else []
        try:
            checked = self._check(request, location)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
            faults += [_fault(item, location) for item in details]
        else:
            if not faults:
                return checked
        raise _problem(faults)

    def get_openapi_schema(self, **_kwargs: Any) -> dict[str, Any]:
        """Return the model's JSON Schema for the API document."""
        schema = self.model_class.model_json_schema(schema_generator=PlainSchemas, ref_template=SCHEMA_REF)
        schema.pop(
            "$defs", None
        )  # APIFlask would name each after its parent, too; the document has them once
        return schema

    def _check(self, request: Request, location: str) -> BaseModel:
        if location == "json":
            if not _is_json(request):
                raise ProblemError(
                    415, "unsupported_media_type", "Send JSON, with Content-Type: application/json."
                )
            # Strict: "yes" is not a boolean, and a number is not a time.
            return self.model_class.model_validate_json(_body(request), strict=True)
        if location == "headers":
            names = {name: header_name(name) for name in self.model_class.model_fields}
            given = {name: request.headers.get(header) for name, header in names.items()}
            return self.model_class.model_validate(
                {name: value for name, value in given.items() if value is not None}
            )
        return self.model_class.model_validate(request.args.to_dict())


def refusal(error: ValidationError, location: str) -> ProblemError:
    """Return the problem document for a validation error."""
    details = error.errors(include_url=False, include_input=False)
    return _problem([_fault(item, location) for item in details])


def install() -> None:
    """Make APIFlask use this adapter for every pydantic model."""
    registry.register("pydantic", InputAdapter)


def _is_json(request: Request) -> bool:
    kind = media_type(request.headers.get("Content-Type", ""))
    return kind == JSON_TYPE or (kind.startswith("application/") and kind.endswith("+json"))


def _body(request: Request) -> bytes:
    body = request.get_data()
    if request.content_length is None and len(body) == request.max_content_length:
        raise RequestEntityTooLarge  # werkzeug silently truncates a body without a length at the limit
    return body


def _repeated(request: Request) -> list[Fault]:
    names = [name for name, values in request.args.lists() if len(values) > 1]
    return [Fault(_pointer((name,), "query"), "repeated", "Give this parameter once.") for name in names]


def _problem(faults: Sequence[Fault]) -> ProblemError:
    if faults[0].code == "malformed_json":
        return ProblemError(400, "malformed_json", faults[0].detail, list(faults))
    return invalid_request(*faults[:MAX_FAULTS])


def _fault(error: ErrorDetails, location: str) -> Fault:
    return Fault(_pointer(error["loc"], location), _code(error["type"]), _sentence(error))


def _code(kind: str) -> str:
    """Return our code for a fault: pydantic has many codes, and they change."""
    if kind in CODES:
        return CODES[kind]
    wrong_type, invalid = FALLBACKS
    return wrong_type if kind.endswith(("_type", "_parsing")) else invalid


def _pointer(path: Sequence[str | int], location: str) -> str:
    """Return a pointer to the fault; a name that the caller made up is repeated only if it looks like an identifier."""
    names = [str(part) for part in path]
    if names and isinstance(path[-1], str) and not _PLAIN_NAME.fullmatch(path[-1]):
        names.pop()
    if location == "json":
        return "".join(f"/{name}" for name in names)
    return header_name(names[0]) if location == "headers" else "?" + "".join(names[:1])


def header_name(field: str) -> str:
    """Return the name of the header behind a field of a headers model."""
    return field.replace("_", "-").title()


def _sentence(error: ErrorDetails) -> str:
    sentence = _SENTENCES.get(_code(error["type"]))
    if sentence is not None:
        return sentence.format(**error.get("ctx", {}))
    text = error["msg"].removeprefix("Value error, ")
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


FALLBACKS = ("wrong_type", "invalid")
"""Our codes for faults of a type, and for all other kinds that are not in CODES."""

CODES = {
    "extra_forbidden": "unknown_field",
    "greater_than_equal": "out_of_range",
    "json_invalid": "malformed_json",
    "less_than_equal": "out_of_range",
    "missing": "required",
    "string_too_long": "too_long",
    "string_too_short": "too_short",
    "too_long": "too_long",
    "too_short": "too_short",
}
_SENTENCES = {
    "required": "This field is required.",
    "too_long": "Must not be longer than {max_length}.",
    "too_short": "Must not be shorter than {min_length}.",
    "unknown_field": "There is no such field or parameter.",
}
