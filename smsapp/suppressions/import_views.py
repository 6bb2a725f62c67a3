"""Taking over a list of people who are not to be texted."""

from collections.abc import Iterable
from typing import IO

from apiflask import APIBlueprint
from flask import Response, g, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from smsapp.suppressions import schemas
from smsapp.suppressions.import_rows import Imported, import_suppressions
from smsapp.suppressions.rows import RECIPIENT, RowFault
from smsapp.uploads.csv_rows import CsvRows
from smsapp.uploads.json_rows import read_options, read_rows
from smsapp.uploads.rows import RawRow, UnreadableUpload
from smsapp.web.auth import auth
from smsapp.web.json_response import json_response
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import Fault, ProblemError, invalid_request
from smsapp.web.uploads import MAX_UPLOAD_BYTES, Patient, in_turns, spool_file, take
from smsapp.web.wiring import runtime

bp = APIBlueprint("suppression_imports", __name__, url_prefix="/sms", tag="Opt-outs")


@bp.post("/suppressions/import")
@bp.auth_required(auth)
@bp.input(schemas.NoQuery, location="query")
@bp.doc(
    summary="Import suppressions",
    operation_id="importSuppressions",
    responses=answer(200, "What became of the rows.", schemas.ImportResult)
    | problems(400, 401, 413, 415, 500, 503),
)
def take_over(query_data: schemas.NoQuery) -> Response:  # noqa: ARG001 - checked is all it is
    """Suppress every recipient of a list; faulty rows are left out and named with their lines.

    Send CSV whose first line names the columns, or JSON as `{"rows": [{…}]}`: `recipient`, perhaps `sender` (a sender
    or a Messaging Service's SID; blank for every sender) and `note`. An upload that is cut or cannot be read does
    nothing; one that is repeated changes nothing.
    """
    request.max_content_length = MAX_UPLOAD_BYTES
    with spool_file() as spool:
        try:
            rows = _rows(spool)
            imported = import_suppressions(runtime(), rows, api_key_id=g.caller.key_id)
        except UnreadableUpload as error:
            code = "malformed_json" if error.code == "malformed_json" else "invalid_upload"
            fault = Fault(error.pointer, error.code, error.detail)
            raise ProblemError(400, code, error.detail, [fault]) from None
    return json_response(_document(imported))


def _rows(spool: IO[bytes]) -> Iterable[RawRow]:
    """Return the rows of the request's body, all of which can be read."""
    try:
        if request.mimetype == "application/json":
            return _json_rows(spool)
        if request.mimetype == "text/csv":
            return _csv_rows(spool)
    except RequestEntityTooLarge:
        raise ProblemError(413, "too_large", "The upload is larger than 64 MiB; send several.") from None
    except OSError:
        raise ClientDisconnected from None
    raise ProblemError(415, "unsupported_media_type", "Send text/csv or application/json.")


def _json_rows(spool: IO[bytes]) -> Iterable[RawRow]:
    take(spool)
    if read_options(Patient(spool)):
        raise invalid_request(Fault("", "unknown_field", "There is no field but `rows`."))
    return in_turns(read_rows(spool))


def _csv_rows(spool: IO[bytes]) -> Iterable[RawRow]:
    take(spool)
    charset = request.mimetype_params.get("charset", "utf-8")
    checked = CsvRows(spool, charset=charset, required=RECIPIENT)
    for _ in in_turns(checked):
        pass
    spool.seek(0)
    g.checked_rows = checked  # it would close the file when it goes
    return in_turns(CsvRows(spool, charset=charset, required=RECIPIENT))


def _document(imported: Imported) -> dict[str, object]:
    return {
        "rows": imported.rows,
        "added": imported.added,
        "known": imported.known,
        "faults": [_fault(fault) for fault in imported.faults],
    }


def _fault(fault: RowFault) -> dict[str, object]:
    return {"line": fault.line, "column": fault.column, "code": fault.code, "reason": fault.sentence}
