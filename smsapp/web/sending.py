"""Taking texts to send."""

import hashlib
from functools import partial

from apiflask import APIBlueprint
from flask import Response, current_app, g, request

from smsapp.domain.draft import Draft
from smsapp.domain.segments import measure
from smsapp.runtime import Runtime
from smsapp.services.accept_message import IdempotencyConflictError, UntimelyError, accept_message
from smsapp.services.preview_message import preview_message
from smsapp.store.idempotency import Idempotent
from smsapp.web import requests, schemas
from smsapp.web.auth import auth
from smsapp.web.json_response import json_response
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import Fault, ProblemError, invalid_request
from smsapp.web.views import dry_run_view, message_view

bp = APIBlueprint("sending", __name__, url_prefix="/sms", tag="Messages")


@bp.post("/send")
@bp.auth_required(auth)
@bp.input(requests.SendHeaders, location="headers")
@bp.input(requests.SendRequest, location="json")
@bp.doc(
    summary="Send a text",
    operation_id="sendMessage",
    responses=answer(200, "Of a dry run: what would become of it.", schemas.DryRun)
    | answer(
        202,
        "Stored.",
        schemas.Message,
        headers={"Location": "Location", "Idempotent-Replayed": "IdempotentReplayed"},
    )
    | problems(400, 401, 413, 415, 422, 500, 503),
)
def send(headers_data: requests.SendHeaders, json_data: requests.SendRequest) -> Response:
    """Store a text and hand it to Twilio soon after.

    202 means that it is stored: it will be sent, or its failure explained. With `dry_run` nothing is stored; the 200
    says what would have become of it. With an `Idempotency-Key` header the same request can be
    repeated safely, for at least 24 hours.
    """
    draft = _draft(json_data)
    if json_data.dry_run:
        return json_response(dry_run_view(draft, preview_message(_runtime(), draft)))
    current_app.extensions["smsapp_backpressure"].check()
    warnings = (
        [] if draft.recipient.valid else ["to: this number is possible, but no such number is known to exist"]
    )
    try:
        accepted = accept_message(
            _runtime(),
            draft,
            render=partial(message_view, warnings=warnings),
            request=_idempotent(headers_data.idempotency_key),
            group=current_app.extensions["smsapp_accepting"],
        )
    except IdempotencyConflictError:
        detail = "This key was used before, with another request; use a new key for a new request."
        fault = Fault("Idempotency-Key", "reused", detail)
        raise ProblemError(422, "idempotency_key_reused", detail, [fault]) from None
    except UntimelyError as error:
        late = error.fault
        raise invalid_request(Fault(f"/{late.field}", late.code, late.sentence)) from None
    g.message_id = accepted.answer["id"]
    headers = {"Location": f"{request.script_root}/sms/messages/{g.message_id}"}
    if accepted.replayed:
        headers["Idempotent-Replayed"] = "true"
    return json_response(accepted.answer, 202, headers)


def _runtime() -> Runtime:
    rt: Runtime = current_app.extensions["smsapp"]
    return rt


def _draft(data: requests.SendRequest) -> Draft:
    settings = _runtime().settings
    sender, service = data.sender, data.messaging_service_sid
    if not sender and not service:
        service = settings.twilio_messaging_service_sid
        sender = None if service else settings.twilio_phone_number
    resend = settings.resend_after_failure if data.resend_after_failure is None else data.resend_after_failure
    return Draft(
        recipient=data.to,
        sender=sender,
        messaging_service_sid=service,
        body=data.body,
        measure=measure(data.body),
        api_key_id=g.caller.key_id,
        media_urls=data.media_urls,
        client_reference=data.client_reference,
        tags=data.tags,
        request_id=g.request_id,
        on_unconfirmed=data.on_unconfirmed or settings.on_unconfirmed,
        resend_after_failure=resend,
        send_at=data.send_at,
        deliver_by=data.deliver_by,
    )


def _idempotent(key: str | None) -> Idempotent | None:
    if key is None:
        return None
    digest = hashlib.sha256(request.path.encode() + b"\n" + request.get_data()).hexdigest()
    return Idempotent(g.caller.key_id, key, digest)
