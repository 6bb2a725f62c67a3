"""Taking over a list of people who are not to be texted."""

from apiflask import APIBlueprint
from flask import Response, g

from smsapp.keys.scopes import Scope
from smsapp.suppressions import schemas
from smsapp.suppressions.documents import import_view
from smsapp.suppressions.import_rows import import_suppressions
from smsapp.suppressions.uploads import read_upload
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.responses import json_response
from smsapp.web.uploads import incoming_upload, spool_file
from smsapp.web.wiring import runtime

bp = APIBlueprint("suppression_imports", __name__, url_prefix="/sms", tag="Opt-outs")


@bp.post("/suppressions/import")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.NoQuery, location="query")
@bp.doc(
    summary="Import suppressions",
    operation_id="importSuppressions",
    responses=answer(200, "What became of the rows.", schemas.ImportResult)
    | problems(400, 401, 403, 413, 415, 500, 503),
)
def take_over(query_data: schemas.NoQuery) -> Response:  # noqa: ARG001 - checked is all it is
    """Suppress every recipient of a list; faulty rows are left out and named with their lines.

    Send CSV whose first line names the columns, or JSON as `{"rows": [{…}]}`: `recipient`, perhaps `sender` (a sender
    or a Messaging Service's SID; blank for every sender) and `note`. An upload that is cut or cannot be read does
    nothing; one that is repeated changes nothing.
    """
    with spool_file() as spool:
        rows = read_upload(incoming_upload(), spool)
        imported = import_suppressions(runtime(), rows, api_key_id=g.caller.key_id)
    return json_response(import_view(imported))
