"""Finding out what became of messages, and canceling them."""

import time
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, current_app, g

from smsapp.domain.ids import parse_public_id, public_id
from smsapp.gateway.twilio import TwilioUnavailableError
from smsapp.runtime import Runtime
from smsapp.services.cancel_message import MessageNotFoundError, TooLateToCancelError, cancel_message
from smsapp.store import reads
from smsapp.store.sessions import reading
from smsapp.web import requests, schemas
from smsapp.web.auth import auth
from smsapp.web.json_response import json_response
from smsapp.web.openapi import answer, problems
from smsapp.web.pages import page_response
from smsapp.web.problems import RETRY_AFTER_S, ProblemError
from smsapp.web.views import event_view, message_view

bp = APIBlueprint("messages", __name__, url_prefix="/sms", tag="Messages")

_LOOK_EVERY_S = 0.25


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


@bp.post("/messages/<message_id>/cancel")
@bp.auth_required(auth)
@bp.doc(
    summary="Cancel a message",
    operation_id="cancelMessage",
    responses=answer(200, "It is canceled.", schemas.Message) | problems(401, 404, 409, 500, 503),
)
def cancel(message_id: str) -> Response:
    """Cancel a message that has not been handed to Twilio, or that Twilio has scheduled; safe to repeat.

    409 says that it is too late: the message is on its way or has ended otherwise.
    """
    wanted = _id(message_id)
    try:
        cancel_message(_runtime(), wanted, request_id=g.request_id)
    except MessageNotFoundError:
        raise _no_such_message() from None
    except TooLateToCancelError as error:
        detail = f"The message can no longer be canceled; its status is {error.status}."
        raise ProblemError(409, "too_late_to_cancel", detail) from None
    except TwilioUnavailableError:
        detail = "Twilio has the message and does not answer at present; ask again."
        headers = {"Retry-After": str(RETRY_AFTER_S)}
        raise ProblemError(503, "twilio_unavailable", detail, headers=headers) from None
    with reading(_runtime().sessions) as session:
        message = reads.get(session, wanted)
    if message is None:
        raise _no_such_message()
    return json_response(message_view(message))


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
    return page_response(page, more=len(rows) > query_data.limit, parameter="after", key="seq")


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
    limit = query_data.limit
    with reading(_runtime().sessions) as session:
        rows = reads.find(
            session,
            limit=limit + 1,
            before=query_data.cursor,
            status=query_data.status,
            to=query_data.to,
            client_reference=query_data.client_reference,
            job_id=query_data.job_id,
            created_from=query_data.created_from,
            created_until=query_data.created_until,
        )
        page = [message_view(row) for row in rows[:limit]]
    return page_response(page, more=len(rows) > limit, parameter="cursor", key="id")


def _runtime() -> Runtime:
    rt: Runtime = current_app.extensions["smsapp"]
    return rt


def _id(text: str) -> UUID:
    message_id = parse_public_id(text)
    if message_id is None:
        raise _no_such_message()
    g.message_id = public_id(message_id)
    return message_id


def _no_such_message() -> ProblemError:
    return ProblemError(404, "message_not_found", "There is no such message.")
