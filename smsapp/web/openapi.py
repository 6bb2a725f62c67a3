"""The API document: what APIFlask derives from the views, completed with what it cannot know."""

import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import deepcopy
from functools import partial
from types import MappingProxyType
from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from smsapp.web.inputs import SCHEMA_REF, PlainSchemas, header_name
from smsapp.web.openapi_links import add_links
from smsapp.web.openapi_parts import (
    HEADERS,
    PARAMETERS,
    PROBLEMS,
    TAGS,
    TEXT,
    Document,
    ProblemKind,
    RoomDocument,
    default_in_words,
)
from smsapp.web.plain_http import PROBLEM_TYPE
from smsapp.web.schemas import Problem

Responses = dict[int | str, Any]

SIGNED = "TwilioSignature"
_SIGNED_BY_TWILIO = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Twilio-Signature",
    "description": "Twilio's signature of the address and the parameters, made with the account's auth token.",
}


def answer(
    status: int | str,
    description: str,
    model: type[BaseModel] | None = None,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    media_type: str = "application/json",
    text_media_type: str | None = None,
) -> Responses:
    """Return an entry of a view's `responses` for APIFlask; `headers` maps names to `components/headers`.

    `text_media_type` is a second, plain-text media type that the client may ask for.
    """
    schema = {"schema": _ref("schemas", model.__name__)} if model else {}
    content = {media_type: schema} if model or media_type != "application/json" else {}
    if text_media_type:
        content[text_media_type] = {"schema": TEXT}
    return {status: {"description": description, "content": content, "headers": _refs("headers", headers)}}


def problems(*statuses: int) -> Responses:
    """Return placeholders for errors, which are defined once, under `components/responses`."""
    return {status: {"description": PROBLEMS[status].description} for status in statuses}


def init_app(app: APIFlask, rooms: Sequence[RoomDocument]) -> None:
    """Make `app.spec` the API document of these rooms."""
    app.config.update(
        OPENAPI_VERSION="3.1.0",
        AUTO_SERVERS=False,
        AUTO_404_RESPONSE=False,
        AUTO_VALIDATION_ERROR_RESPONSE=False,
        AUTO_AUTH_ERROR_RESPONSE=False,
        AUTO_200_RESPONSE=False,
        SECURITY_SCHEMES={SIGNED: _SIGNED_BY_TWILIO},
        INFO={
            "description": "Sends SMS through Twilio and can always say what became of each one.",
            "contact": {"name": "Whoever runs the service"},
            "license": {"name": "MIT", "identifier": "MIT"},
        },
    )
    app.spec_processor(partial(_complete, rooms=rooms, app=app))


def _complete(spec: Any, *, rooms: Sequence[RoomDocument], app: APIFlask) -> Any:
    _, definitions = models_json_schema(
        [(model, "serialization") for room in rooms for model in room.answers]
        + [(model, "validation") for room in rooms for model in room.requests],
        ref_template=SCHEMA_REF,
        schema_generator=PlainSchemas,
    )
    components = spec.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    bodies: Document = {name: body for room in rooms for name, body in room.bodies.items()}
    for form in _forms(bodies.values()):
        for field in components["schemas"][form]["properties"].values():
            _never_null(field)
    components["responses"] = {kind.name: _problem(kind) for kind in PROBLEMS.values()}
    components["parameters"] = PARAMETERS
    components["headers"] = HEADERS
    queries = {name: parameters for room in rooms for name, parameters in room.queries.items()}
    descriptions = dict(_descriptions(app))
    for operation in _operations(spec):
        name = operation["operationId"]
        operation["description"] = descriptions[name] or operation["description"]
        _complete_operation(operation, body=bodies.get(name), queries=deepcopy(queries.get(name, ())))
        _tell_defaults(operation.get("requestBody", {}), components["schemas"])
    spec["servers"] = [{"url": "/", "description": "The service that this document is from."}]
    spec["tags"] = [{"name": name, "description": description} for name, description in TAGS.items()]
    add_links(spec["paths"])
    spec["paths"] = dict(sorted(spec["paths"].items()))
    return spec


def _operations(spec: Document) -> Iterator[Document]:
    for path in spec["paths"].values():
        yield from path.values()


def _tell_defaults(body: Document, schemas: Document) -> None:
    """Take the defaults out of all schemas that a request's body refers to, and say them in words."""
    for name in _referred(body, schemas, set()):
        for member in schemas[name].get("properties", {}).values():
            default_in_words(member)


def _referred(part: object, schemas: Document, found: set[str]) -> Iterator[str]:
    """Yield the name of each schema that the part of the document refers to, itself or through others."""
    if isinstance(part, list):
        for item in part:
            yield from _referred(item, schemas, found)
    elif isinstance(part, dict):
        name = str(part.get("$ref", "")).rpartition("/")[2]
        if name in schemas and name not in found:
            found.add(name)
            yield name
            yield from _referred(schemas[name], schemas, found)
        for item in part.values():
            yield from _referred(item, schemas, found)


def _descriptions(app: APIFlask) -> Iterator[tuple[str, str]]:
    """Yield what each operation does, by its id: the whole docstring of its view."""
    for view in app.view_functions.values():
        name = getattr(view, "_spec", {}).get("operation_id")
        if name:
            yield name, inspect.cleandoc(view.__doc__ or "")


def _forms(bodies: Iterable[Document]) -> Iterator[str]:
    """Yield the schemas of form bodies, whose fields cannot be null."""
    for body in bodies:
        if form := body.get("multipart/form-data"):
            yield form["schema"]["$ref"].rsplit("/", 1)[1]


def _complete_operation(operation: Document, *, body: Document | None, queries: Sequence[Document]) -> None:
    common = {} if {SIGNED: []} in operation.get("security", []) else {"X-Request-Id": "RequestId"}
    parameters = [_parameter(given) for given in [*operation.pop("parameters"), *queries]]
    parameters += [_ref("parameters", header) for header in common.values()]
    if parameters:
        operation["parameters"] = parameters
    if body:
        operation["requestBody"] = {"content": body}
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
    operation["responses"] = {
        status: _response(status, response, common) for status, response in operation["responses"].items()
    }


def _response(status: str, response: Document, common: Mapping[str, str]) -> Document:
    kind = PROBLEMS.get(int(status)) if status.isdecimal() else None
    if kind and kind.description == response["description"]:
        return _ref("responses", kind.name)
    response["headers"] = response.get("headers", {}) | _refs("headers", common)
    return {name: value for name, value in response.items() if value}


def _parameter(parameter: Document) -> Document:
    """Return a parameter as clients send it: absent or a value, never null."""
    if parameter["in"] == "path":
        return _ref("parameters", parameter["name"])
    if parameter["in"] == "header":
        parameter["name"] = header_name(parameter["name"])
    schema = parameter["schema"]
    _never_null(schema)
    explode = parameter.pop("explode", False)
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": explode}  # one parameter, separated by commas, or several
    if "description" in schema:
        parameter["description"] = schema.pop("description")
    if "$ref" in schema:
        parameter["content"] = {"application/json": {"schema": parameter.pop("schema")}}
    return parameter


def _never_null(schema: Document) -> None:
    """Remove null from the types of a parameter or form field: neither can express it."""
    if "anyOf" in schema:
        schema.update(next(part for part in schema.pop("anyOf") if part != {"type": "null"}))


def _problem(kind: ProblemKind) -> Document:
    return {
        "description": kind.description,
        "content": {PROBLEM_TYPE: {"schema": _ref("schemas", Problem.__name__)}},
        "headers": _refs("headers", kind.headers) | _refs("headers", {"X-Request-Id": "RequestId"}),
    }


def _ref(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}


def _refs(kind: str, names: Mapping[str, str]) -> Document:
    return {name: _ref(kind, component) for name, component in names.items()}
