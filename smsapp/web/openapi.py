"""The API document: what APIFlask reads off the views, completed with what it cannot know."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from apiflask import APIFlask
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from smsapp.web.inputs import PlainSchemas, header_name
from smsapp.web.job_schemas import JOB_ANSWERS
from smsapp.web.opt_out_schemas import OPT_OUT_ANSWERS
from smsapp.web.problems import PROBLEM_TYPE
from smsapp.web.push_schemas import PUSH_ANSWERS
from smsapp.web.schemas import ANSWERS, Problem

Document = dict[str, Any]
Responses = dict[int | str, Any]

_TEXT = {"type": "string"}
_HEADERS: Document = {
    "RequestId": {
        "description": "The id of this request in our logs.",
        "schema": {"type": "string", "maxLength": 64},
    },
    "Location": {
        "description": "The address of what was made.",
        "schema": {**_TEXT, "format": "uri-reference"},
    },
    "IdempotentReplayed": {
        "description": "There when the answer was given before, to a request with the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Link": {"description": 'The next page, as `<…>; rel="next"`; absent on the last one.', "schema": _TEXT},
    "WwwAuthenticate": {"description": "How to authenticate.", "schema": _TEXT},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
}
_PARAMETERS: Document = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Your own id for the request; it comes back in the answer and is in our logs. "
        "One that is not of 1 to 64 letters, digits or `_.:-` is replaced by ours.",
        "schema": _TEXT,
    },
    "message_id": {
        "name": "message_id",
        "in": "path",
        "required": True,
        "description": "The message's `id`.",
        "schema": {"type": "string", "examples": ["msg_01890a5d96a07c4b9f3e2d1c0b0a0908"]},
    },
    "job_id": {
        "name": "job_id",
        "in": "path",
        "required": True,
        "description": "The job's `id`.",
        "schema": {"type": "string", "examples": ["job_01890a5d96a07c4b9f3e2d1c0b0a0908"]},
    },
    "template_name": {
        "name": "template_name",
        "in": "path",
        "required": True,
        "description": "The template's `name`.",
        "schema": {**_TEXT, "examples": ["order-shipped"]},
    },
    "inbound_id": {
        "name": "inbound_id",
        "in": "path",
        "required": True,
        "description": "The text's `id`.",
        "schema": {"type": "string", "examples": ["in_01890a5d96a07c4b9f3e2d1c0b0a0908"]},
    },
    "suppression_id": {
        "name": "suppression_id",
        "in": "path",
        "required": True,
        "description": "The suppression's `id`.",
        "schema": {"type": "string", "examples": ["sup_01890a5d96a07c4b9f3e2d1c0b0a0908"]},
    },
    "subscription_id": {
        "name": "subscription_id",
        "in": "path",
        "required": True,
        "description": "The subscription's `id`.",
        "schema": {"type": "string", "examples": ["sub_01890a5d96a07c4b9f3e2d1c0b0a0908"]},
    },
    "delivery_id": {
        "name": "delivery_id",
        "in": "path",
        "required": True,
        "description": "The delivery's `id`.",
        "schema": {"type": "string", "examples": ["dlv_01890a5d96a07c4b9f3e2d1c0b0a0908"]},
    },
    "target": {
        "name": "target",
        "in": "path",
        "required": True,
        "description": "The message's `id`, as in the address that Twilio was given; with `-2` for a second attempt.",
        "schema": _TEXT,
    },
}

_ROWS: Document = {
    "type": "object",
    "required": ["rows"],
    "properties": {"rows": {"type": "array", "items": {"type": "object"}}},
}
_AS_ROWS: Document = {"application/json": {"schema": _ROWS}, "text/csv": {"schema": _TEXT}}
_FILE = {"type": "object", "required": ["file"], "properties": {"file": {**_TEXT, "format": "binary"}}}
_UPLOADS: Document = {
    "createJob": _AS_ROWS | {"multipart/form-data": {"schema": _FILE}},
    "importSuppressions": _AS_ROWS,
}
"""Bodies that are read as they come, by operation: no model checks them, so none describes them."""


@dataclass(frozen=True, slots=True)
class _Kind:
    """What is said about the problems of one HTTP status."""

    name: str
    description: str
    headers: Mapping[str, str] = field(default_factory=dict)


_PROBLEMS = {
    400: _Kind(
        "BadRequest",
        "Something in the request is wrong, and `errors` points at each fault: `invalid_request`, `malformed_json`, "
        "`malformed_form`, `invalid_upload`, `bad_request`.",
    ),
    401: _Kind("Unauthorized", "No valid API key: `unauthorized`.", {"WWW-Authenticate": "WwwAuthenticate"}),
    403: _Kind("Forbidden", "Not signed by Twilio: `signature_missing`, `signature_invalid`."),
    404: _Kind(
        "NotFound",
        "There is no such thing: `message_not_found`, `event_not_found`, `job_not_found`, `template_not_found`, "
        "`inbound_not_found`, `suppression_not_found`, `subscription_not_found`, `delivery_not_found`.",
    ),
    409: _Kind(
        "Conflict",
        "Not in its present state: `too_late_to_cancel`, `wrong_job_state`, `template_exists`, "
        "`subscription_disabled`.",
    ),
    410: _Kind("Gone", "Events after this number are not kept any more: `cursor_expired`."),
    413: _Kind("TooLarge", "The body is larger than 64 KiB, a job's than 64 MiB: `too_large`."),
    415: _Kind("UnsupportedMediaType", "Another Content-Type is wanted: `unsupported_media_type`."),
    422: _Kind(
        "Refused",
        "The Idempotency-Key was used before, with another request: `idempotency_key_reused`. Or the recipient has "
        "opted out of messages from this sender: `recipient_opted_out`; only the recipient's START changes that.",
    ),
    500: _Kind("InternalError", "Something broke on our side: `internal_error`."),
    503: _Kind(
        "Unavailable",
        "Not now; repeat the request, a POST with its Idempotency-Key, since an answer may have been lost: "
        "`database_unavailable`, `overloaded`, `twilio_unavailable`, `unavailable`.",
        {"Retry-After": "RetryAfter"},
    ),
}
_ALL_ANSWERS: tuple[type[BaseModel], ...] = (*ANSWERS, *JOB_ANSWERS, *OPT_OUT_ANSWERS, *PUSH_ANSWERS)
SIGNED = "TwilioSignature"
_SIGNED_BY_TWILIO = {
    "type": "apiKey",
    "in": "header",
    "name": "X-Twilio-Signature",
    "description": "Twilio's signature of the address and the parameters, made with the account's auth token.",
}


def answer(
    status: int,
    description: str,
    model: type[BaseModel] | None = None,
    *,
    headers: Mapping[str, str] = MappingProxyType({}),
    media_type: str = "application/json",
    also: str | None = None,
) -> Responses:
    """Return what APIFlask takes as a view's `responses`; `headers` maps names to `components/headers`.

    `also` is a second media type, of plain text, in which the client may ask for it.
    """
    schema = {"schema": _ref("schemas", model.__name__)} if model else {}
    content = {media_type: schema} if model or media_type != "application/json" else {}
    if also:
        content[also] = {"schema": _TEXT}
    return {status: {"description": description, "content": content, "headers": _refs("headers", headers)}}


def problems(*statuses: int) -> Responses:
    """Return placeholders for errors; what they are is said once, under `components/responses`."""
    return {status: {"description": _PROBLEMS[status].description} for status in statuses}


def init_app(app: APIFlask) -> None:
    """Make `app.spec` the API document."""
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
            "license": {"name": "MIT", "identifier": "MIT"},
        },
    )
    app.spec_processor(_complete)


def _complete(spec: Any) -> Any:
    _, definitions = models_json_schema(
        [(model, "serialization") for model in _ALL_ANSWERS],
        ref_template="#/components/schemas/{model}",
        schema_generator=PlainSchemas,
    )
    components = spec.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions["$defs"])
    components["responses"] = {kind.name: _problem(kind) for kind in _PROBLEMS.values()}
    components["parameters"] = _PARAMETERS
    components["headers"] = _HEADERS
    for operation in _operations(spec):
        _complete_operation(operation)
    spec["paths"] = dict(sorted(spec["paths"].items()))
    return spec


def _operations(spec: Document) -> Iterator[Document]:
    for path in spec["paths"].values():
        yield from path.values()


def _complete_operation(operation: Document) -> None:
    common = {} if {SIGNED: []} in operation.get("security", []) else {"X-Request-Id": "RequestId"}
    parameters = [_parameter(parameter) for parameter in operation.pop("parameters")]
    parameters += [_ref("parameters", name) for name in common.values()]
    if parameters:
        operation["parameters"] = parameters
    if upload := _UPLOADS.get(operation["operationId"]):
        operation["requestBody"] = {"content": upload}
    if "requestBody" in operation:
        operation["requestBody"]["required"] = True
    operation["responses"] = {
        status: _response(int(status), response, common)
        for status, response in operation["responses"].items()
    }


def _response(status: int, response: Document, common: Mapping[str, str]) -> Document:
    kind = _PROBLEMS.get(status)
    if kind and kind.description == response["description"]:
        return _ref("responses", kind.name)
    response["headers"] = response.get("headers", {}) | _refs("headers", common)
    return {name: value for name, value in response.items() if value}


def _parameter(parameter: Document) -> Document:
    """Return a parameter as clients send it: absent, or a value, but never null."""
    if parameter["name"] in _PARAMETERS:
        return _ref("parameters", parameter["name"])
    if parameter["in"] == "header":
        parameter["name"] = header_name(parameter["name"])
    schema = parameter["schema"]
    if "anyOf" in schema:
        schema.update(next(part for part in schema.pop("anyOf") if part != {"type": "null"}))
    if schema.get("default", ...) is None:
        del schema["default"]
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": False}  # one parameter, separated by commas
    if "description" in schema:
        parameter["description"] = schema.pop("description")
    return parameter


def _problem(kind: _Kind) -> Document:
    return {
        "description": kind.description,
        "content": {PROBLEM_TYPE: {"schema": _ref("schemas", Problem.__name__)}},
        "headers": _refs("headers", kind.headers) | _refs("headers", {"X-Request-Id": "RequestId"}),
    }


def _ref(kind: str, name: str) -> Document:
    return {"$ref": f"#/components/{kind}/{name}"}


def _refs(kind: str, names: Mapping[str, str]) -> Document:
    return {name: _ref(kind, component) for name, component in names.items()}
