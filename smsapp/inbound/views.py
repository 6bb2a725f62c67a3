"""Reading the texts that people sent to us."""

from apiflask import APIBlueprint
from flask import Response

from smsapp.db.sessions import reading
from smsapp.ids import parse_id
from smsapp.inbound import queries as inbound
from smsapp.inbound import schemas
from smsapp.inbound.documents import inbound_view
from smsapp.keys.scopes import Scope
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import ProblemError
from smsapp.web.responses import json_response, page_response
from smsapp.web.wiring import runtime

bp = APIBlueprint("inbound", __name__, url_prefix="/sms", tag="Inbound")


@bp.get("/inbound")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.InboundQuery, location="query")
@bp.doc(
    summary="List inbound texts",
    operation_id="listInboundMessages",
    responses=answer(200, "A page of texts.", schemas.InboundList, headers={"Link": "Link"})
    | problems(400, 401, 403, 500, 503),
)
def index(query_data: schemas.InboundQuery) -> Response:
    """Return texts that match every filter, newest first."""
    with reading(runtime().sessions) as session:
        page = inbound.find(
            session,
            limit=query_data.limit,
            before=query_data.cursor,
            sender=query_data.sender,
            to=query_data.to,
            messaging_service_sid=query_data.messaging_service_sid,
            received_from=query_data.received_from,
            received_until=query_data.received_until,
        )
    return page_response(page, inbound_view)


@bp.get("/inbound/<inbound_id>")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.doc(
    summary="Show an inbound text",
    operation_id="getInboundMessage",
    responses=answer(200, "The text.", schemas.InboundMessage) | problems(401, 403, 404, 500, 503),
)
def show(inbound_id: str) -> Response:
    """Return a text that somebody sent to us."""
    wanted = parse_id(inbound_id, "in")
    with reading(runtime().sessions) as session:
        text = inbound.get(session, wanted) if wanted else None
    if text is None:
        raise ProblemError(
            404, "inbound_not_found", "There is no such text; perhaps it is not kept any more."
        )
    return json_response(inbound_view(text))
