"""Sending messages and finding out what became of them."""

import hashlib
import time
from functools import partial
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, current_app, g, request, url_for

from smsapp.domain.ids import parse_public_id, public_id
from smsapp.domain.segments import measure
from smsapp.runtime import Runtime
from smsapp.services.accept_message import (
    DeadlinePassedError,
    Draft,
    IdempotencyConflictError,
    accept_message,
)
from smsapp.store import reads
from smsapp.store.idempotency import Idempotent
from smsapp.store.sessions import reading
from smsapp.web import requests, schemas
from smsapp.web.auth import auth
from smsapp.web.json_response import json_response
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import Fault, ProblemError, invalid_request
from smsapp.web.views import event_view, message_view

bp = APIBlueprint("messages", __name__, url_prefix="/sms", tag="Messages")

_LOOK_EVERY_S = 0.25


@bp.post("/send")
@bp.auth_required(auth)
@bp.input(requests.SendHeaders, location="headers")
@bp.input(requests.SendRequest, location="json")
@bp.doc(
    summary="Send a text",
    operation_id="sendMessage",
    responses=answer(
        202,
        "Stored.",
        schemas.Message,
        headers={"Location": "Location", "Idempotent-Replayed": "IdempotentReplayed"},
    )
    | problems(400, 401, 413, 415, 422, 500, 503),
)
def send(headers_data: requests.SendHeaders, json_data: requests.SendRequest) -> Response:
    """Store a text and hand it to Twilio soon after.

    202 means that it is stored: it will be sent, or its failure explained. With an `Idempotency-Key` header the same
    request can be repeated safely, for at least 24 hours.
    """
    current_app.extensions["smsapp_backpressure"].check()
    draft = _draft(json_data)
    warnings = (
        [] if draft.recipient.valid else ["to: this number is possible, but no such number is known to exist"]
    )
    try:
        accepted = accept_message(
            _runtime(),
            draft,
            render=partial(message_view, warnings=warnings),
            request=_idempotent(headers_data.idempotency_key),
            group=current_app.extensions["smsapp_accepting"],
        )
    except IdempotencyConflictError:
        detail = "This key was used before, with another request; use a new key for a new request."
        fault = Fault("Idempotency-Key", "reused", detail)
        raise ProblemError(422, "idempotency_key_reused", detail, [fault]) from None
    except DeadlinePassedError:
        raise invalid_request(Fault("/deliver_by", "past", "This time has passed.")) from None
    g.message_id = accepted.answer["id"]
    headers = {"Location": f"{request.script_root}/sms/messages/{g.message_id}"}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_response(accepted.answer, 202, headers)


@bp.get("/messages/<message_id>")
@bp.auth_required(auth)
@bp.input(requests.WaitQuery, location="query")
@bp.doc(
    summary="Show a message",
    operation_id="getMessage",
    responses=answer(200, "The message.", schemas.Message) | problems(400, 401, 404, 500, 503),
)
def show(message_id: str, query_data: requests.WaitQuery) -> Response:
    """Return a message; with `wait`, as soon as its outcome is known or the seconds are over."""
    wanted = _id(message_id)
    deadline = time.monotonic() + query_data.wait
    while True:
        with reading(_runtime().sessions) as session:
            message = reads.get(session, wanted)
        if message is None:
            raise _no_such_message()
        if message.outcome or time.monotonic() >= deadline:
            return json_response(message_view(message))
        time.sleep(_LOOK_EVERY_S)


@bp.get("/messages/<message_id>/events")
@bp.auth_required(auth)
@bp.input(requests.EventQuery, location="query")
@bp.doc(
    summary="Show a message's history",
    operation_id="listMessageEvents",
    responses=answer(200, "A page of its events.", schemas.EventList, headers={"Link": "Link"})
    | problems(400, 401, 404, 500, 503),
)
def events(message_id: str, query_data: requests.EventQuery) -> Response:
    """Return everything that is known of a message, also what changed nothing, in the order of recording."""
    wanted = _id(message_id)
    with reading(_runtime().sessions) as session:
        if reads.get(session, wanted) is None:
            raise _no_such_message()
        rows = reads.history(session, wanted, after=query_data.after, limit=query_data.limit + 1)
        page = [event_view(row) for row in rows[: query_data.limit]]
    return _page(page, more=len(rows) > query_data.limit, parameter="after", key="seq")


@bp.get("/messages")
@bp.auth_required(auth)
@bp.input(requests.ListQuery, location="query")
@bp.doc(
    summary="List messages",
    operation_id="listMessages",
    responses=answer(200, "A page of messages.", schemas.MessageList, headers={"Link": "Link"})
    | problems(400, 401, 500, 503),
)
def index(query_data: requests.ListQuery) -> Response:
    """Return messages that match every filter, newest first."""
    limit, cursor = query_data.limit, query_data.cursor
    before = parse_public_id(cursor) if cursor else None
    if cursor and before is None:
        raise invalid_request(
            Fault("?cursor", "invalid", "This is no cursor of ours; use `next_cursor` as it is.")
        )
    with reading(_runtime().sessions) as session:
        rows = reads.find(
            session,
            limit=limit + 1,
            before=before,
            status=query_data.status,
            to=query_data.to,
            client_reference=query_data.client_reference,
            created_from=query_data.created_from,
            created_until=query_data.created_until,
        )
        page = [message_view(row) for row in rows[:limit]]
    return _page(page, more=len(rows) > limit, parameter="cursor", key="id")


def _runtime() -> Runtime:
    rt: Runtime = current_app.extensions["smsapp"]
    return rt


def _draft(data: requests.SendRequest) -> Draft:
    settings = _runtime().settings
    sender, service = data.sender, data.messaging_service_sid
    if not sender and not service:
        service = settings.twilio_messaging_service_sid
        sender = None if service else settings.twilio_phone_number
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


def _idempotent(key: str | None) -> Idempotent | None:
    if key is None:
        return None
    digest = hashlib.sha256(request.path.encode() + b"\n" + request.get_data()).hexdigest()
    return Idempotent(g.caller.key_id, key, digest)


def _id(text: str) -> UUID:
    message_id = parse_public_id(text)
    if message_id is None:
        raise _no_such_message()
    g.message_id = public_id(message_id)
    return message_id


def _no_such_message() -> ProblemError:
    return ProblemError(404, "message_not_found", "There is no such message.")


def _page(data: list[dict[str, Any]], *, more: bool, parameter: str, key: str) -> Response:
    """Return one page; the next begins after its last item, whose `key` is the cursor."""
    cursor = str(data[-1][key]) if more else None
    headers = {}
    if cursor:
        arguments = {**request.args.to_dict(), parameter: cursor, **(request.view_args or {})}
        headers["Link"] = f'<{url_for(request.endpoint or "", **arguments)}>; rel="next"'
    return json_response({"data": data, "has_more": more, "next_cursor": cursor}, 200, headers)
