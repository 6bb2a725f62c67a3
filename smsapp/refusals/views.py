"""Which callbacks were refused, and what would have made them pass."""

from apiflask import APIBlueprint
from flask import Response

from smsapp.db.sessions import reading
from smsapp.keys.scopes import Scope
from smsapp.refusals import queries as refusals
from smsapp.refusals import schemas
from smsapp.refusals.documents import refusal_view
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.responses import page_response
from smsapp.web.wiring import runtime

bp = APIBlueprint("refused_callbacks", __name__, url_prefix="/sms/callbacks", tag="Twilio")


@bp.get("/refused")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.RefusedCallbackQuery, location="query")
@bp.doc(
    summary="List refused callbacks",
    operation_id="listRefusedCallbacks",
    responses=answer(200, "A page of refusals.", schemas.RefusedCallbackList, headers={"Link": "Link"})
    | problems(400, 401, 403, 500, 503),
)
def index(query_data: schemas.RefusedCallbackQuery) -> Response:
    """Return what was refused within the last 7 days, newest first: a sample of one request a second, all counted."""
    with reading(runtime().sessions) as session:
        page = refusals.find(
            session, limit=query_data.limit, before=query_data.cursor, reason=query_data.reason
        )
    return page_response(page, refusal_view)
