"""Finding out what became of messages."""

from collections.abc import Mapping, Sequence
from functools import partial
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, g, request
from sqlalchemy.orm import Session

from smsapp.breakers import queries as breakers
from smsapp.breakers.queries import ParkedScope
from smsapp.db.sessions import reading
from smsapp.ids import parse_public_id, public_id
from smsapp.keys.scopes import Scope
from smsapp.messages import reads, schemas
from smsapp.messages.documents import event_view, message_view
from smsapp.messages.models import Message
from smsapp.messages.status import Status
from smsapp.messages.wait_for_outcome import OutcomeWaits
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import ProblemError
from smsapp.web.responses import json_response, page_response
from smsapp.web.wiring import provided, runtime

bp = APIBlueprint("messages", __name__, url_prefix="/sms", tag="Messages")

NO_SUCH_MESSAGE = "There is no such message."


@bp.get("/messages/<message_id>")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.WaitQuery, location="query")
@bp.doc(
    summary="Show a message",
    operation_id="getMessage",
    responses=answer(200, "The message.", schemas.Message) | problems(400, 401, 403, 404, 500, 503),
)
def show(message_id: str, query_data: schemas.WaitQuery) -> Response:
    """Return a message; with `wait`, as soon as its outcome is known or the seconds are over."""
    message = provided(OutcomeWaits).find(
        named_message(message_id),
        g.caller,
        seconds=query_data.wait,
        client=request.environ.get("gunicorn.socket"),
    )
    if message is None:
        raise no_such_message()
    return json_response(message_view(message, parked=_parked_for(message)))


@bp.get("/messages/<message_id>/events")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.EventQuery, location="query")
@bp.doc(
    summary="Show a message's history",
    operation_id="listMessageEvents",
    responses=answer(200, "A page of its events.", schemas.EventList, headers={"Link": "Link"})
    | problems(400, 401, 403, 404, 500, 503),
)
def events(message_id: str, query_data: schemas.EventQuery) -> Response:
    """Return everything that is known of a message, also what changed nothing, in the order of recording."""
    wanted = named_message(message_id)
    with reading(runtime().sessions) as session:
        if reads.get_owned(session, wanted, g.caller.application_id) is None:
            raise no_such_message()
        page = reads.history(session, wanted, after=query_data.after, limit=query_data.limit)
    return page_response(page, event_view, parameter="after", key="seq")


@bp.get("/messages")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.ListQuery, location="query")
@bp.doc(
    summary="List messages",
    operation_id="listMessages",
    responses=answer(200, "A page of messages.", schemas.MessageList, headers={"Link": "Link"})
    | problems(400, 401, 403, 500, 503),
)
def index(query_data: schemas.ListQuery) -> Response:
    """Return messages that match every filter, newest first."""
    with reading(runtime().sessions) as session:
        page = reads.find(
            session,
            limit=query_data.limit,
            application_id=g.caller.application_id,
            before=query_data.cursor,
            status=query_data.status,
            to=query_data.to,
            client_reference=query_data.client_reference,
            job_id=query_data.job_id,
            created_from=query_data.created_from,
            created_until=query_data.created_until,
        )
        parked = _parked(session, page.items)
    return page_response(page, partial(message_view, parked=parked))


def _parked(session: Session, messages: Sequence[Message]) -> Mapping[str, ParkedScope]:
    """Return the parked scopes, which are looked up only if one of the messages may wait for them."""
    return breakers.parked(session) if any(each.status == Status.PENDING for each in messages) else {}


def _parked_for(message: Message) -> Mapping[str, ParkedScope]:
    if message.status != Status.PENDING:
        return {}
    with reading(runtime().sessions) as session:
        return breakers.parked(session)


def named_message(text: str) -> UUID:
    """Return the id that an address names.

    Raises:
        ProblemError: it can be no message's.
    """
    message_id = parse_public_id(text)
    if message_id is None:
        raise no_such_message()
    g.message_id = public_id(message_id)
    return message_id


def owned_message(text: str) -> UUID:
    """Return the id that an address names, of a message of the caller's application; the owner never changes.

    Raises:
        ProblemError: the application has no such message.
    """
    message_id = named_message(text)
    with reading(runtime().sessions) as session:
        if reads.get_owned(session, message_id, g.caller.application_id) is None:
            raise no_such_message()
    return message_id


def no_such_message() -> ProblemError:
    """Return the problem of an id that no message has."""
    return ProblemError(404, "message_not_found", NO_SUCH_MESSAGE)
