"""Who is not to be texted: looking it up, and an operator's word on it."""

import csv
from collections.abc import Iterator
from io import StringIO
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, g, request

from smsapp.db.sessions import reading
from smsapp.ids import parse_id, suppression_id
from smsapp.keys import queries as api_keys
from smsapp.keys.scopes import Scope
from smsapp.runtime import Runtime
from smsapp.suppressions import queries as suppressions
from smsapp.suppressions import schemas
from smsapp.suppressions.decide import SuppressionNotFoundError, add_suppression, lift_suppression
from smsapp.suppressions.documents import detail_view, suppression_view
from smsapp.suppressions.export import COLUMNS, export_suppressions
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import ProblemError
from smsapp.web.responses import json_response, page_response
from smsapp.web.wiring import runtime

bp = APIBlueprint("suppressions", __name__, url_prefix="/sms", tag="Opt-outs")

_HISTORY = 100
_STATUSES = {"active": True, "lifted": False, "all": None}


@bp.get("/suppressions")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.SuppressionQuery, location="query")
@bp.doc(
    summary="List suppressions",
    operation_id="listSuppressions",
    responses=answer(200, "A page of suppressions.", schemas.SuppressionList, headers={"Link": "Link"})
    | problems(400, 401, 403, 500, 503),
)
def index(query_data: schemas.SuppressionQuery) -> Response:
    """Return suppressions that match every filter, in the order in which they were first known."""
    with reading(runtime().sessions) as session:
        page = suppressions.find(
            session,
            limit=query_data.limit,
            after=query_data.cursor,
            suppressed=_STATUSES[query_data.status],
            recipient=query_data.recipient,
            scope=query_data.sender,
            source=query_data.source,
        )
    return page_response(page, suppression_view)


@bp.post("/suppressions")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.SuppressionRequest, location="json")
@bp.doc(
    summary="Suppress a recipient",
    operation_id="addSuppression",
    responses=answer(200, "It was suppressed already; the note is kept.", schemas.SuppressionDetail)
    | answer(201, "Suppressed.", schemas.SuppressionDetail, headers={"Location": "Location"})
    | problems(400, 401, 403, 413, 415, 500, 503),
)
def add(json_data: schemas.SuppressionRequest) -> Response:
    """Text a recipient no more: from a sender, from a Messaging Service, or with neither from any; safe to repeat."""
    found, is_new = add_suppression(
        runtime(),
        json_data.recipient.e164,
        json_data.sender or json_data.messaging_service_sid,
        note=json_data.note,
        api_key_id=g.caller.key_id,
    )
    location = f"{request.script_root}/sms/suppressions/{suppression_id(found.id)}"
    return _detail(found.id, 201 if is_new else 200, {"Location": location} if is_new else {})


@bp.get("/suppressions/<string(minlength=7):suppression_id>")  # "import" is another address
@bp.auth_required(auth, roles=[Scope.READ])
@bp.doc(
    summary="Show a suppression",
    operation_id="getSuppression",
    responses=answer(200, "The suppression.", schemas.SuppressionDetail) | problems(401, 403, 404, 500, 503),
)
def show(suppression_id: str) -> Response:
    """Return a suppression with its history, also one that is lifted."""
    return _detail(_id(suppression_id))


@bp.post("/suppressions/<suppression_id>/lift")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.LiftRequest, location="json")
@bp.doc(
    summary="Lift a suppression",
    operation_id="liftSuppression",
    responses=answer(200, "It is lifted.", schemas.SuppressionDetail)
    | problems(400, 401, 403, 404, 413, 415, 500, 503),
)
def lift(suppression_id: str, json_data: schemas.LiftRequest) -> Response:
    """Let a recipient be texted again, for a reason that is kept; safe to repeat.

    Of an opt-out that Twilio keeps, too, nothing is lifted there: it refuses the next message with 21610, and the
    suppression is back, until the recipient texts START.
    """
    wanted = _id(suppression_id)
    try:
        lift_suppression(runtime(), wanted, note=json_data.note, api_key_id=g.caller.key_id)
    except SuppressionNotFoundError:
        raise _no_such_suppression() from None
    return _detail(wanted)


@bp.get("/suppressions/export.csv")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.NoQuery, location="query")
@bp.doc(
    summary="Export suppressions",
    operation_id="exportSuppressions",
    responses=answer(200, "All that hold at present, as CSV.", media_type="text/csv")
    | problems(400, 401, 403, 500, 503),
)
def export(query_data: schemas.NoQuery) -> Response:  # noqa: ARG001 - checked is all it is
    """Return every suppression that holds, a row each; the file can be imported elsewhere as it is."""
    headers = {"Content-Disposition": 'attachment; filename="suppressions.csv"'}
    return Response(_csv(runtime()), headers=headers, content_type="text/csv; charset=utf-8")


def _csv(rt: Runtime) -> Iterator[bytes]:
    """Yield the file page by page; runs after the request's context has gone."""
    text = StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for page in export_suppressions(rt):
        writer.writerows(page)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _detail(wanted: UUID, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    with reading(runtime().sessions) as session:
        found = suppressions.get(session, wanted)
        if found is None:
            raise _no_such_suppression()
        history = suppressions.history(session, wanted, limit=_HISTORY)
        keys = api_keys.prefixes(
            session,
            {line.api_key_id for line in history if line.api_key_id},
            application_id=g.caller.application_id,
        )
        document = detail_view(found, history, keys)
    return json_response(document, status, headers)


def _id(text: str) -> UUID:
    wanted = parse_id(text, "sup")
    if wanted is None:
        raise _no_such_suppression()
    return wanted


def _no_such_suppression() -> ProblemError:
    return ProblemError(404, "suppression_not_found", "There is no such suppression.")
