"""Taking texts to send."""

from apiflask import APIBlueprint
from flask import Response, current_app, g, request

from smsapp.web import requests, schemas
from smsapp.web.auth import auth
from smsapp.web.json_response import json_response
from smsapp.web.openapi import answer, problems
from smsapp.web.send_endpoint import Asking, SendEndpoint

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
    endpoint: SendEndpoint = current_app.extensions["smsapp_sending"]
    asking = Asking(g.caller, g.request_id, headers_data.idempotency_key, request.get_data())
    if json_data.dry_run:
        return json_response(endpoint.preview(json_data, asking))
    sent = endpoint.take(json_data, asking)
    g.message_id = sent.document["id"]
    headers = dict(sent.headers) | {"Location": request.script_root + sent.headers["Location"]}
    return json_response(sent.document, sent.status, headers)
