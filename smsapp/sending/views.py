"""Taking texts to send, and canceling them."""

from apiflask import APIBlueprint
from flask import Response, g, request

from smsapp.db.sessions import reading
from smsapp.keys.scopes import Scope
from smsapp.messages import reads
from smsapp.messages.documents import message_view
from smsapp.messages.schemas import Message
from smsapp.messages.views import NO_SUCH_MESSAGE, no_such_message, owned_message
from smsapp.sending import schemas
from smsapp.sending.cancel import MessageNotFoundError, TooLateToCancelError, cancel_message
from smsapp.sending.endpoint import SendEndpoint
from smsapp.twilio.gateway import TwilioUnavailableError
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import RETRY_AFTER_S, problem_response
from smsapp.web.request_context import RequestContext
from smsapp.web.responses import json_response
from smsapp.web.schemas import SendHeaders
from smsapp.web.wiring import provided, runtime

bp = APIBlueprint("sending", __name__, url_prefix="/sms", tag="Messages")


@bp.post("/send")
@bp.auth_required(auth, roles=[Scope.SEND])
@bp.input(SendHeaders, location="headers")
@bp.input(schemas.SendRequest, location="json")
@bp.doc(
    summary="Send a text",
    operation_id="sendMessage",
    # Not "200": openapi-generator takes the lowest status for what a send returns, and then fails to read a 202.
    responses=answer("2XX", "200, of a dry run: what would become of it.", schemas.DryRun)
    | answer(
        202,
        "Stored.",
        Message,
        headers={"Location": "Location", "Idempotent-Replayed": "IdempotentReplayed"},
    )
    | problems(400, 401, 403, 413, 415, 422, 500, 503),
)
def send(headers_data: SendHeaders, json_data: schemas.SendRequest) -> Response:
    """Store a text and hand it to Twilio soon after.

    202 means that it is stored: it will be sent, or its failure explained. With `dry_run` nothing is stored; the 200
    says what would have become of it. With an `Idempotency-Key` header the same request can be
    repeated safely, for at least 24 hours.
    """
    endpoint = provided(SendEndpoint)
    idempotent = endpoint.identify(g.caller, headers_data.idempotency_key, json_data, request.get_data())
    context = RequestContext(g.caller, g.request_id, idempotent)
    if json_data.dry_run:
        return json_response(endpoint.preview(json_data, context))
    sent = endpoint.take(json_data, context)
    g.message_id = sent.document["id"]
    headers = dict(sent.headers) | {"Location": request.script_root + sent.headers["Location"]}
    return json_response(sent.document, sent.status, headers)


@bp.post("/messages/<message_id>/cancel")
@bp.auth_required(auth, roles=[Scope.SEND])
@bp.doc(
    summary="Cancel a message",
    operation_id="cancelMessage",
    responses=answer(200, "It is canceled.", Message) | problems(401, 403, 404, 409, 500, 503),
)
def cancel(message_id: str) -> Response:
    """Cancel a message that has not been handed to Twilio, or that Twilio has scheduled; safe to repeat.

    409 says that it is too late: the message is on its way or has ended otherwise.
    """
    wanted = owned_message(message_id)
    cancel_message(runtime(), wanted, request_id=g.request_id)
    with reading(runtime().sessions) as session:
        message = reads.get(session, wanted)
    if message is None:
        raise no_such_message()
    return json_response(message_view(message))


@bp.errorhandler(MessageNotFoundError)
def _not_found(_error: Exception) -> Response:
    return problem_response(404, "message_not_found", NO_SUCH_MESSAGE)


@bp.errorhandler(TooLateToCancelError)
def _too_late(error: TooLateToCancelError) -> Response:
    detail = f"The message can no longer be canceled; its status is {error.status}."
    return problem_response(409, "too_late_to_cancel", detail)


@bp.errorhandler(TwilioUnavailableError)
def _twilio_unavailable(_error: Exception) -> Response:
    detail = "Twilio has the message and does not answer at present; ask again."
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return problem_response(503, "twilio_unavailable", detail, headers=headers)
