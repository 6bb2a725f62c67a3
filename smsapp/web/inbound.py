"""Reading the texts that people sent to us."""

from apiflask import APIBlueprint
from flask import Response, current_app

from smsapp.domain.ids import parse_id
from smsapp.runtime import Runtime
from smsapp.store import inbound
from smsapp.store.sessions import reading
from smsapp.web import opt_out_requests, opt_out_schemas
from smsapp.web.auth import auth
from smsapp.web.json_response import json_response
from smsapp.web.openapi import answer, problems
from smsapp.web.opt_out_views import inbound_view
from smsapp.web.pages import page_response
from smsapp.web.problems import ProblemError

bp = APIBlueprint("inbound", __name__, url_prefix="/sms", tag="Inbound")


@bp.get("/inbound")
@bp.auth_required(auth)
@bp.input(opt_out_requests.InboundQuery, location="query")
@bp.doc(
    summary="List inbound texts",
    operation_id="listInboundMessages",
    responses=answer(200, "A page of texts.", opt_out_schemas.InboundList, headers={"Link": "Link"})
    | problems(400, 401, 500, 503),
)
def index(query_data: opt_out_requests.InboundQuery) -> Response:
    """Return texts that match every filter, newest first."""
    with reading(_runtime().sessions) as session:
        rows = inbound.find(
            session,
            limit=query_data.limit + 1,
            before=query_data.cursor,
            sender=query_data.sender,
            to=query_data.to,
            messaging_service_sid=query_data.messaging_service_sid,
            received_from=query_data.received_from,
            received_until=query_data.received_until,
        )
        page = [inbound_view(row) for row in rows[: query_data.limit]]
    return page_response(page, more=len(rows) > query_data.limit, parameter="cursor", key="id")


@bp.get("/inbound/<inbound_id>")
@bp.auth_required(auth)
@bp.doc(
    summary="Show an inbound text",
    operation_id="getInboundMessage",
    responses=answer(200, "The text.", opt_out_schemas.InboundMessage) | problems(401, 404, 500, 503),
)
def show(inbound_id: str) -> Response:
    """Return a text that somebody sent to us."""
    wanted = parse_id(inbound_id, "in")
    with reading(_runtime().sessions) as session:
        text = inbound.get(session, wanted) if wanted else None
    if text is None:
        raise ProblemError(
            404, "inbound_not_found", "There is no such text; perhaps it is not kept any more."
        )
    return json_response(inbound_view(text))


def _runtime() -> Runtime:
    rt: Runtime = current_app.extensions["smsapp"]
    return rt
