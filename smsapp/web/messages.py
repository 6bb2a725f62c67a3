"""Sending messages and finding out what became of them."""

import hashlib
import time
from collections.abc import Mapping
from typing import Any
from uuid import UUID

import orjson
from apiflask import APIBlueprint
from flask import Response, current_app, g, request, url_for

from smsapp.domain.ids import parse_public_id
from smsapp.domain.segments import measure
from smsapp.runtime import Runtime
from smsapp.services.accept_message import Draft, IdempotencyConflictError, accept_message
from smsapp.store import messages
from smsapp.store.idempotency import Idempotent
from smsapp.store.sessions import reading
from smsapp.web import schemas
from smsapp.web.auth import auth
from smsapp.web.json_response import json_response
from smsapp.web.problems import Fault, ProblemError
from smsapp.web.views import event_view, message_view

bp = APIBlueprint("messages", __name__, url_prefix="/sms", tag="Messages")

MAX_KEY_CHARS = 255
_LOOK_EVERY_S = 0.25


def _problems(*statuses: int) -> dict[int | str, Any]:
    return {status: {"description": "Problem", "content": schemas.PROBLEM_CONTENT} for status in statuses}


@bp.post("/send")
@bp.auth_required(auth)
@bp.input(schemas.SendRequest, location="json")
@bp.doc(
    summary="Send a text",
    responses={
        202: {
            "description": "Stored; it will be sent or explained.",
            "content": schemas.json_content(schemas.MessageOut),
        },
        **_problems(400, 401, 409, 413, 415, 422, 503),
    },
    extensions={"x-idempotency": "Idempotency-Key"},
)
def send(json_data: schemas.SendRequest) -> Response:
    """Store a text and hand it to Twilio soon after.

    202 means that it is stored: it will be sent, or its failure explained. With an `Idempotency-Key` header the same
    request can be repeated safely, for at least 24 hours.
    """
    rt: Runtime = current_app.extensions["smsapp"]
    draft = _draft(rt, json_data)
    warnings = (
        [] if draft.recipient.valid else ["to: this number is possible, but no such number is known to exist"]
    )

    def render(values: Mapping[str, Any]) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(orjson.dumps(message_view(values, warnings=warnings)))
        return document

    try:
        accepted = accept_message(rt, draft, render=render, request=_idempotent())
    except IdempotencyConflictError:
        raise ProblemError(
            422,
            "idempotency_key_reused",
            "This Idempotency-Key was used before, with another request.",
            [Fault("Idempotency-Key", "reused", "Use a new key for a new request.")],
        ) from None
    headers = {"Location": url_for("messages.show", message_id=accepted.answer["id"])}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_response(accepted.answer, 202, headers)


@bp.get("/messages/<message_id>")
@bp.auth_required(auth)
@bp.input(schemas.WaitQuery, location="query")
@bp.doc(
    summary="Show a message",
    responses={
        200: {"description": "The message.", "content": schemas.json_content(schemas.MessageOut)},
        **_problems(400, 401, 404),
    },
)
def show(message_id: str, query_data: schemas.WaitQuery) -> Response:
    """Return a message; with `wait`, as soon as its outcome is known or the seconds are over."""
    rt: Runtime = current_app.extensions["smsapp"]
    wanted = _id(message_id)
    deadline = time.monotonic() + query_data.wait
    while True:
        with reading(rt.sessions) as session:
            message = messages.get(session, wanted)
            if message is None:
                raise _no_such_message()
            if message.outcome or time.monotonic() >= deadline or rt.stopping.is_set():
                return json_response(message_view(message))
        time.sleep(_LOOK_EVERY_S)


@bp.get("/messages/<message_id>/events")
@bp.auth_required(auth)
@bp.input(schemas.EventQuery, location="query")
@bp.doc(
    summary="Show a message's history",
    responses={
        200: {"description": "Its events.", "content": schemas.json_content(schemas.EventList)},
        **_problems(400, 401, 404),
    },
)
def events(message_id: str, query_data: schemas.EventQuery) -> Response:
    """Return everything that is known of a message, also what changed nothing, in the order of recording."""
    rt: Runtime = current_app.extensions["smsapp"]
    wanted = _id(message_id)
    with reading(rt.sessions) as session:
        if messages.get(session, wanted) is None:
            raise _no_such_message()
        rows = messages.history(session, wanted, after=query_data.after, limit=query_data.limit + 1)
        page = [event_view(row) for row in rows[: query_data.limit]]
    more = len(rows) > query_data.limit
    return _page(page, more, str(page[-1]["seq"]) if more else None, parameter="after")


@bp.get("/messages")
@bp.auth_required(auth)
@bp.input(schemas.ListQuery, location="query")
@bp.doc(
    summary="List messages",
    responses={
        200: {"description": "A page of messages.", "content": schemas.json_content(schemas.MessageList)},
        **_problems(400, 401),
    },
)
def index(query_data: schemas.ListQuery) -> Response:
    """Return messages that match every filter, newest first."""
    rt: Runtime = current_app.extensions["smsapp"]
    query = query_data
    before = parse_public_id(query.cursor) if query.cursor else None
    if query.cursor and before is None:
        raise ProblemError(
            400,
            "invalid_request",
            "The cursor is not one of ours.",
            [Fault("?cursor", "invalid", "Use `next_cursor`.")],
        )
    with reading(rt.sessions) as session:
        rows = messages.find(
            session,
            limit=query.limit + 1,
            before=before,
            status=query.status,
            to=query.to,
            client_reference=query.client_reference,
            created_from=query.created_from,
            created_until=query.created_until,
        )
        page = [message_view(row) for row in rows[: query.limit]]
    more = len(rows) > query.limit
    return _page(page, more, str(page[-1]["id"]) if more else None, parameter="cursor")


def _draft(rt: Runtime, data: schemas.SendRequest) -> Draft:
    settings = rt.settings
    sender, service = data.sender, data.messaging_service_sid
    if not sender and not service:
        service = settings.twilio_messaging_service_sid
        sender = None if service else settings.twilio_phone_number
    if data.deliver_by and data.deliver_by <= rt.clock():
        fault = Fault("/deliver_by", "past", "This time has passed.")
        raise ProblemError(400, "invalid_request", fault.detail, [fault])
    resend = settings.resend_after_failure if data.resend_after_failure is None else data.resend_after_failure
    return Draft(
        recipient=data.to,
        sender=sender,
        messaging_service_sid=service,
        body=data.body,
        measure=measure(data.body),
        api_key_id=g.caller.key_id,
        media_urls=data.media_urls,
        client_reference=data.client_reference,
        tags=data.tags,
        request_id=g.request_id,
        on_unconfirmed=data.on_unconfirmed or settings.on_unconfirmed,
        resend_after_failure=resend,
        deliver_by=data.deliver_by,
    )


def _idempotent() -> Idempotent | None:
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    if not 0 < len(key) <= MAX_KEY_CHARS or not key.isprintable():
        fault = Fault("Idempotency-Key", "invalid", f"Use 1 to {MAX_KEY_CHARS} printable characters.")
        raise ProblemError(400, "invalid_request", fault.detail, [fault])
    digest = hashlib.sha256(request.path.encode() + b"\n" + g.raw_body).hexdigest()
    return Idempotent(g.caller.key_id, key, digest)


def _id(text: str) -> UUID:
    message_id = parse_public_id(text)
    if message_id is None:
        raise _no_such_message()
    return message_id


def _no_such_message() -> ProblemError:
    return ProblemError(404, "message_not_found", "There is no such message.")


def _page(data: list[dict[str, Any]], has_more: bool, next_cursor: str | None, *, parameter: str) -> Response:
    headers = {}
    if next_cursor:
        arguments = {**request.args.to_dict(), parameter: next_cursor, **(request.view_args or {})}
        headers["Link"] = f'<{url_for(request.endpoint or "", **arguments)}>; rel="next"'
    return json_response({"data": data, "has_more": has_more, "next_cursor": next_cursor}, 200, headers)
