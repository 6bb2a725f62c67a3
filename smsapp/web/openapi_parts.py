"""Shared components of the API document: headers, path parameters, and problems by HTTP status."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, WithJsonSchema

Document = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RoomDocument:
    """What a room adds to the API document besides its views.

    `answers` are response models; `requests` are models that appear in requests but are no view's own input. `bodies`
    and `queries` describe, by operation id, the media types and query parameters of uploads, which no model validates.
    """

    answers: tuple[type[BaseModel], ...] = ()
    requests: tuple[type[BaseModel], ...] = ()
    bodies: Mapping[str, Document] = field(default_factory=dict)
    queries: Mapping[str, Sequence[Document]] = field(default_factory=dict)


UploadCell = Annotated[str | int | None, WithJsonSchema({"type": ["string", "integer", "null"]})]
"""A cell of an uploaded row, in JSON; of three kinds as `anyOf`, generators of clients make a class."""

TAGS = {
    "Messages": "Send a text, and find out what became of it.",
    "Events": "What happened to all messages, in order and without gaps.",
    "Jobs": "Many texts from one upload.",
    "Templates": "Stored texts with placeholders, and their versions.",
    "Inbound": "Texts that people sent to you.",
    "Opt-outs": "Who is not to be texted.",
    "Subscriptions": "Who is told of events, and of which.",
    "Deliveries": "Each event that a consumer was, or is to be, told of.",
    "Twilio": "What Twilio calls; nobody else can.",
    "Health": "Whether the service is well.",
}
"""What each group of operations is about, in the order in which people read of them."""

TEXT = {"type": "string"}
HEADERS: Document = {
    "RequestId": {
        "description": "The id of this request in our logs.",
        "schema": {"type": "string", "maxLength": 64},
    },
    "Location": {
        "description": "The address of what was made.",
        "schema": {**TEXT, "format": "uri-reference"},
    },
    "IdempotentReplayed": {
        "description": "There when the answer was given before, to a request with the same Idempotency-Key.",
        "schema": {"type": "string", "const": "true"},
    },
    "Link": {"description": 'The next page, as `<…>; rel="next"`; absent on the last one.', "schema": TEXT},
    "WwwAuthenticate": {"description": "How to authenticate.", "schema": TEXT},
    "RetryAfter": {"description": "Seconds to wait.", "schema": {"type": "integer"}},
}


def _in_path(name: str, description: str, **schema: object) -> Document:
    """Return the entry of a path parameter."""
    return {
        name: {
            "name": name,
            "in": "path",
            "required": True,
            "description": description,
            "schema": {**TEXT, **schema},
        }
    }


PARAMETERS: Document = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Your own id for the request; it comes back in the answer and is in our logs. "
        "One that is not of 1 to 64 letters, digits or `_.:-` is replaced by ours.",
        "schema": TEXT,
    },
    **_in_path("message_id", "The message's `id`.", examples=["msg_01890a5d96a07c4b9f3e2d1c0b0a0908"]),
    **_in_path("job_id", "The job's `id`.", examples=["job_01890a5d96a07c4b9f3e2d1c0b0a0908"]),
    **_in_path("template_name", "The template's `name`.", examples=["order-shipped"]),
    **_in_path("inbound_id", "The text's `id`.", examples=["in_01890a5d96a07c4b9f3e2d1c0b0a0908"]),
    **_in_path(
        "suppression_id", "The suppression's `id`.", examples=["sup_01890a5d96a07c4b9f3e2d1c0b0a0908"]
    ),
    **_in_path(
        "subscription_id", "The subscription's `id`.", examples=["sub_01890a5d96a07c4b9f3e2d1c0b0a0908"]
    ),
    **_in_path("delivery_id", "The delivery's `id`.", examples=["dlv_01890a5d96a07c4b9f3e2d1c0b0a0908"]),
    **_in_path(
        "target",
        "The message's `id`, as in the address that Twilio was given; with `-2` for a second attempt.",
    ),
}


@dataclass(frozen=True, slots=True)
class ProblemKind:
    """The description of the problems of one HTTP status."""

    name: str
    description: str
    headers: Mapping[str, str] = field(default_factory=dict)


PROBLEMS = {
    400: ProblemKind(
        "BadRequest",
        "Something in the request is wrong, and `errors` points at each fault: `invalid_request`, `malformed_json`, "
        "`malformed_form`, `invalid_upload`, `bad_request`.",
    ),
    401: ProblemKind(
        "Unauthorized", "No valid API key: `unauthorized`.", {"WWW-Authenticate": "WwwAuthenticate"}
    ),
    403: ProblemKind(
        "Forbidden",
        "The API key lacks the scope of this operation: `scope_missing`. Or not signed by Twilio: `signature_missing`, "
        "`signature_invalid`.",
    ),
    404: ProblemKind(
        "NotFound",
        "There is no such thing: `message_not_found`, `event_not_found`, `job_not_found`, `template_not_found`, "
        "`inbound_not_found`, `suppression_not_found`, `subscription_not_found`, `delivery_not_found`.",
    ),
    409: ProblemKind(
        "Conflict",
        "Not in its present state: `too_late_to_cancel`, `wrong_job_state`, `template_exists`, "
        "`subscription_disabled`.",
    ),
    410: ProblemKind("Gone", "Events after this number are not kept any more: `cursor_expired`."),
    413: ProblemKind("TooLarge", "The body is larger than 64 KiB, a job's than 64 MiB: `too_large`."),
    415: ProblemKind("UnsupportedMediaType", "Another Content-Type is wanted: `unsupported_media_type`."),
    422: ProblemKind(
        "Refused",
        "The Idempotency-Key was used before, with a request that means something else: `idempotency_key_reused`. Or "
        "the recipient has opted out of messages from this sender: `recipient_opted_out`; only the recipient's START "
        "changes that.",
    ),
    500: ProblemKind("InternalError", "Something broke on our side: `internal_error`."),
    503: ProblemKind(
        "Unavailable",
        "Not now; repeat the request, a POST with its Idempotency-Key, since an answer may have been lost: "
        "`database_unavailable`, `overloaded`, `twilio_unavailable`, `unavailable`.",
        {"Retry-After": "RetryAfter"},
    ),
}


def json_body(model: type[BaseModel]) -> Document:
    """Return a JSON request body of this model."""
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def csv_body(example: str) -> Document:
    """Return a CSV request body."""
    return {"text/csv": {"schema": TEXT, "examples": {"small": {"value": example}}}}


def default_in_words(schema: Document) -> None:
    """Take the default out of a request's schema, and say it in words.

    To some generators of clients a member with a default is always there: openapi-typescript makes it required, and
    openapi-python-client sends it along, also where it may not stand. What stands for a member that is left out is
    for people to know; programs only learn that it may be left out.
    """
    if "default" in schema:
        words = f"Default: `{json.dumps(schema.pop('default'))}`."
        schema["description"] = " ".join(filter(None, [schema.get("description"), words]))
