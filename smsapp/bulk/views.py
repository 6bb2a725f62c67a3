"""Many texts from one upload: create a job, look at it, start and stop it, fetch what became of each row."""

from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, g, request
from sqlalchemy import Row
from sqlalchemy.orm import Session

from smsapp.bulk import queries as sms_jobs
from smsapp.bulk import row_queries as job_rows
from smsapp.bulk import schemas
from smsapp.bulk.control import Command, JobNotFoundError, WrongJobStateError, control_job
from smsapp.bulk.create import MAX_FAULTS
from smsapp.bulk.documents import job_summary, job_view, results_csv
from smsapp.bulk.endpoint import identify_upload, make_job
from smsapp.bulk.models import BulkJob
from smsapp.bulk.queries import Progress
from smsapp.bulk.uploads import read_upload
from smsapp.db.sessions import reading
from smsapp.ids import parse_job_id, public_job_id
from smsapp.keys.scopes import Scope
from smsapp.runtime import Runtime
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import ProblemError
from smsapp.web.request_context import RequestContext
from smsapp.web.responses import answer_headers, json_response, page_response
from smsapp.web.schemas import SendHeaders
from smsapp.web.uploads import give_way, incoming_upload, spool_file
from smsapp.web.wiring import runtime

bp = APIBlueprint("jobs", __name__, url_prefix="/sms/jobs", tag="Jobs")

_RESULTS_AT_A_TIME = 200


@bp.post("")
@bp.auth_required(auth, roles=[Scope.SEND])
@bp.input(SendHeaders, location="headers")
@bp.doc(
    summary="Upload a job",
    operation_id="createJob",
    responses=answer(
        201,
        "Stored; nothing is sent yet, unless `start` was set.",
        schemas.JobDocument,
        headers={"Location": "Location", "Idempotent-Replayed": "IdempotentReplayed"},
    )
    | problems(400, 401, 403, 413, 415, 422, 500, 503),
)
def create(headers_data: SendHeaders) -> Response:
    """Check and store up to 100,000 rows, and send none of them before the job is started.

    Send JSON (options and `rows`), or CSV whose first line names the columns, with the options in the query; or a form
    with the options and a CSV `file`. Each row has `to`, may have `client_reference`, and the values of the text's
    placeholders. Faulty rows are left out and reported; an upload that is cut leaves nothing.
    """
    with spool_file() as spool:
        upload = read_upload(incoming_upload(), spool)
        idempotent = identify_upload(runtime(), g.caller, headers_data.idempotency_key, upload)
        made = make_job(runtime(), upload, RequestContext(g.caller, g.request_id, idempotent))
    location = f"{request.script_root}/sms/jobs/{made.answer['id']}"
    return json_response(made.answer, 201, answer_headers(made, location))


@bp.get("")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.JobListQuery, location="query")
@bp.doc(
    summary="List jobs",
    operation_id="listJobs",
    responses=answer(200, "A page of jobs.", schemas.JobList, headers={"Link": "Link"})
    | problems(400, 401, 403, 500, 503),
)
def index(query_data: schemas.JobListQuery) -> Response:
    """Return jobs, newest first."""
    with reading(runtime().sessions) as session:
        page = sms_jobs.find(
            session,
            g.caller.application_id,
            limit=query_data.limit,
            before=query_data.cursor,
            state=query_data.state,
        )
    return page_response(page, job_summary)


@bp.get("/<job_id>")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.doc(
    summary="Show a job",
    operation_id="getJob",
    responses=answer(200, "The job.", schemas.JobDocument) | problems(401, 403, 404, 500, 503),
)
def show(job_id: str) -> Response:
    """Return a job: how many rows are sent, how many messages have each status, and the first faulty rows."""
    return json_response(_view(_id(job_id)))


@bp.post("/<job_id>/start")
@bp.auth_required(auth, roles=[Scope.SEND])
@bp.doc(
    summary="Start a job",
    operation_id="startJob",
    responses=answer(200, "It runs.", schemas.JobDocument) | problems(401, 403, 404, 409, 500, 503),
)
def start(job_id: str) -> Response:
    """Begin to send a job that is `ready`; safe to repeat."""
    return _control(job_id, Command.START)


@bp.post("/<job_id>/pause")
@bp.auth_required(auth, roles=[Scope.SEND])
@bp.doc(
    summary="Pause a job",
    operation_id="pauseJob",
    responses=answer(200, "It is paused.", schemas.JobDocument) | problems(401, 403, 404, 409, 500, 503),
)
def pause(job_id: str) -> Response:
    """Make no more messages of rows; those that are messages already are still sent. Safe to repeat."""
    return _control(job_id, Command.PAUSE)


@bp.post("/<job_id>/resume")
@bp.auth_required(auth, roles=[Scope.SEND])
@bp.doc(
    summary="Resume a job",
    operation_id="resumeJob",
    responses=answer(200, "It runs.", schemas.JobDocument) | problems(401, 403, 404, 409, 500, 503),
)
def resume(job_id: str) -> Response:
    """Go on with a paused job; safe to repeat."""
    return _control(job_id, Command.RESUME)


@bp.post("/<job_id>/cancel")
@bp.auth_required(auth, roles=[Scope.SEND])
@bp.doc(
    summary="Cancel a job",
    operation_id="cancelJob",
    responses=answer(200, "It is canceled.", schemas.JobDocument) | problems(401, 403, 404, 409, 500, 503),
)
def cancel(job_id: str) -> Response:
    """Cancel every row that is no message yet, and soon after messages that are not being sent; safe to repeat."""
    return _control(job_id, Command.CANCEL)


@bp.get("/<job_id>/results.csv")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.doc(
    summary="Fetch what became of each row",
    operation_id="getJobResults",
    responses=answer(200, "A row for each row of the upload, in its order.", media_type="text/csv")
    | problems(401, 403, 404, 500, 503),
)
def results(job_id: str) -> Response:
    """Return every row with its reason when it was not sent, else with its message's id, status and outcome, as CSV."""
    wanted = _id(job_id)
    with reading(runtime().sessions) as session:
        _owned(session, wanted)
    return Response(
        results_csv(_result_pages(runtime(), wanted)),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{public_job_id(wanted)}.csv"'},
    )


def _result_pages(rt: Runtime, job_id: UUID) -> Iterator[Sequence[tuple[Row[Any], Row[Any] | None]]]:
    """Yield rows with their messages, each page in its own transaction, so that a slow client blocks nobody."""
    after = 0
    while True:
        with reading(rt.sessions) as session:
            rows = job_rows.results(session, job_id, after=after, limit=_RESULTS_AT_A_TIME)
        if not rows:
            return
        yield rows
        give_way()
        after = rows[-1][0].number


def _control(job_id: str, command: Command) -> Response:
    wanted = _id(job_id)
    with reading(runtime().sessions) as session:
        _owned(session, wanted)  # a job never changes its owner
    try:
        control_job(runtime(), wanted, command)
    except JobNotFoundError:
        raise _no_such_job() from None
    except WrongJobStateError as error:
        detail = f"The job is {error.state}; it cannot be asked to {command}."
        raise ProblemError(409, "wrong_job_state", detail) from None
    return json_response(_view(wanted))


def _view(job_id: UUID) -> dict[str, object]:
    with reading(runtime().sessions) as session:
        job = _owned(session, job_id)
        progress = sms_jobs.progress(session, job_id) if job.stored else Progress()
        faulty = job_rows.faulty(session, job_id, limit=MAX_FAULTS) if job.faulty else []
        return job_view(job, progress, faulty, runtime().settings)


def _owned(session: Session, job_id: UUID) -> BulkJob:
    """Return a job of the caller's application.

    Raises:
        ProblemError: it has no such job.
    """
    job = sms_jobs.get_owned(session, job_id, g.caller.application_id)
    if job is None:
        raise _no_such_job()
    return job


def _id(text: str) -> UUID:
    job_id = parse_job_id(text)
    if job_id is None:
        raise _no_such_job()
    return job_id


def _no_such_job() -> ProblemError:
    return ProblemError(404, "job_not_found", "There is no such job.")
