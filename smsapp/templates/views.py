"""Stored texts with placeholders, for jobs and single texts."""

from apiflask import APIBlueprint
from flask import Response, g, request

from smsapp.db.sessions import reading
from smsapp.keys.scopes import Scope
from smsapp.templates import queries as templates
from smsapp.templates import schemas
from smsapp.templates.documents import template_view
from smsapp.templates.keep import (
    TemplateExistsError,
    TemplateNotFoundError,
    add_template,
    change_template,
    find_template,
    remove_template,
)
from smsapp.templates.rules import TEMPLATE_FAULTS, MalformedTemplate
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import Fault, ProblemError, invalid_request
from smsapp.web.responses import json_response, page_response
from smsapp.web.wiring import runtime

bp = APIBlueprint("templates", __name__, url_prefix="/sms/templates", tag="Templates")


@bp.post("")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.TemplateRequest, location="json")
@bp.doc(
    summary="Store a template",
    operation_id="createTemplate",
    responses=answer(201, "Stored, as version 1.", schemas.TemplateDocument, headers={"Location": "Location"})
    | problems(400, 401, 403, 409, 413, 415, 500, 503),
)
def create(json_data: schemas.TemplateRequest) -> Response:
    """Store a text with placeholders under a new name."""
    try:
        added = add_template(runtime(), g.caller.application_id, json_data.name, json_data.body)
    except MalformedTemplate as error:
        raise _malformed(error) from None
    except TemplateExistsError:
        raise ProblemError(
            409, "template_exists", "There is a template of this name; give it a new version instead."
        ) from None
    location = f"{request.script_root}/sms/templates/{added.name}"
    return json_response(template_view(added), 201, {"Location": location})


@bp.get("")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.TemplateListQuery, location="query")
@bp.doc(
    summary="List templates",
    operation_id="listTemplates",
    responses=answer(200, "A page of templates.", schemas.TemplateList, headers={"Link": "Link"})
    | problems(400, 401, 403, 500, 503),
)
def index(query_data: schemas.TemplateListQuery) -> Response:
    """Return the newest version of each template, in the order of their names."""
    with reading(runtime().sessions) as session:
        page = templates.newest(
            session, g.caller.application_id, after=query_data.cursor, limit=query_data.limit
        )
    return page_response(page, template_view, key="name")


@bp.get("/<template_name>")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.TemplateQuery, location="query")
@bp.doc(
    summary="Show a template",
    operation_id="getTemplate",
    responses=answer(200, "The template.", schemas.TemplateDocument) | problems(400, 401, 403, 404, 500, 503),
)
def show(template_name: str, query_data: schemas.TemplateQuery) -> Response:
    """Return the newest version of a template, or the one that is asked for."""
    try:
        return json_response(
            template_view(
                find_template(runtime(), g.caller.application_id, template_name, query_data.version)
            )
        )
    except TemplateNotFoundError:
        raise _no_such_template() from None


@bp.get("/<template_name>/versions")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.VersionListQuery, location="query")
@bp.doc(
    summary="List a template's versions",
    operation_id="listTemplateVersions",
    responses=answer(200, "A page of versions.", schemas.TemplateList, headers={"Link": "Link"})
    | problems(400, 401, 403, 404, 500, 503),
)
def versions(template_name: str, query_data: schemas.VersionListQuery) -> Response:
    """Return everything that a template has said, newest first."""
    before = int(query_data.cursor) if query_data.cursor else None
    with reading(runtime().sessions) as session:
        page = templates.versions(
            session, g.caller.application_id, template_name, before=before, limit=query_data.limit
        )
    if not page.items and before is None:
        raise _no_such_template()
    return page_response(page, template_view, key="version")


@bp.post("/<template_name>/versions")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.TemplateVersionRequest, location="json")
@bp.doc(
    summary="Change a template",
    operation_id="createTemplateVersion",
    responses=answer(201, "Stored, as the newest version.", schemas.TemplateDocument)
    | problems(400, 401, 403, 404, 413, 415, 500, 503),
)
def change(template_name: str, json_data: schemas.TemplateVersionRequest) -> Response:
    """Store the next version of a template; what was made of earlier ones stays as it is."""
    try:
        added = change_template(runtime(), g.caller.application_id, template_name, json_data.body)
    except MalformedTemplate as error:
        raise _malformed(error) from None
    except TemplateNotFoundError:
        raise _no_such_template() from None
    return json_response(template_view(added), 201)


@bp.delete("/<template_name>")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.doc(
    summary="Remove a template",
    operation_id="deleteTemplate",
    responses=answer(204, "It is gone.") | problems(401, 403, 404, 500, 503),
)
def remove(template_name: str) -> Response:
    """Remove a template with all its versions; jobs and texts that were made of it keep theirs."""
    try:
        remove_template(runtime(), g.caller.application_id, template_name)
    except TemplateNotFoundError:
        raise _no_such_template() from None
    return Response(status=204)


def _malformed(error: MalformedTemplate) -> ProblemError:
    return invalid_request(Fault("/body", error.reason, TEMPLATE_FAULTS[error.reason]))


def _no_such_template() -> ProblemError:
    return ProblemError(404, "template_not_found", "There is no such template, or no such version of it.")
