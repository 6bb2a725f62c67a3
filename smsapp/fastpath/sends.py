"""`POST /sms/send` without Flask: the second hottest path, for valid, ordinary requests.

Any other request is left to Flask before anything has been done, so that faults are described in one place; Flask's
handlers describe later failures, too. A differential test proves that both paths answer alike.
"""

import time
from io import BytesIO
from typing import TYPE_CHECKING

import orjson
from apiflask import APIFlask
from flask import g
from pydantic import ValidationError
from sqlalchemy.exc import SQLAlchemyError

from smsapp.keys.scopes import Scope
from smsapp.sending.endpoint import PATH, SendEndpoint, Sent
from smsapp.sending.schemas import SendRequest
from smsapp.web.auth import Caller, KeyCache
from smsapp.web.plain_http import JSON_TYPE, Answer, PlainRequest, media_type
from smsapp.web.request_context import RequestContext, begin, end
from smsapp.web.schemas import SendHeaders

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

_SCHEME = "Bearer "
_ENDPOINT = "sending.send"
_STATUS = {202: "202 ACCEPTED"}


class FastPathSends:
    """Accepts texts straight from the connection."""

    def __init__(self, app: APIFlask, keys: KeyCache, endpoint: SendEndpoint) -> None:
        self._app = app
        self._keys = keys
        self._endpoint = endpoint

    def answer(self, request: PlainRequest) -> Answer | None:
        """Answer a request to send, or leave it to Flask."""
        began = time.perf_counter()
        if request.raw_target != PATH or media_type(request.fields.get("content-type", "")) != JSON_TYPE:
            return None
        caller = self._caller(request)
        if caller is None or Scope.SEND not in caller.scopes:
            return None
        try:
            key = SendHeaders(idempotency_key=request.fields.get("idempotency-key")).idempotency_key
            data = SendRequest.model_validate_json(request.body, strict=True)
        except ValidationError:
            return None
        if data.dry_run or data.template:
            return None
        request_id = begin(request.fields.get("x-request-id", ""))
        try:
            idempotent = self._endpoint.identify(caller, key, data, request.body)
            sent = self._endpoint.take(data, RequestContext(caller, request_id, idempotent))
        except Exception as error:  # noqa: BLE001 - Flask's handlers map each one, and log unexpected ones
            return self._failed(error, caller, request_id, began)
        return _succeeded(sent, request_id, began)

    def _caller(self, request: PlainRequest) -> Caller | None:
        """Return the caller; a key that was not seen before is left to Flask, which looks it up and caches it."""
        authorization = request.fields.get("authorization", "")
        secret = authorization.removeprefix(_SCHEME)
        if not secret or secret == authorization:
            return None
        try:
            return self._keys.known(secret)
        except SQLAlchemyError:
            return None

    def _failed(self, error: Exception, caller: Caller, request_id: str, began: float) -> Answer:
        with self._app.request_context(_environ()):
            g.caller, g.request_id, g.began = caller, request_id, began
            response = self._app.finalize_request(self._app.handle_user_exception(error))
            return Answer(response.status, list(response.headers.items()), response.get_data())


def _succeeded(sent: Sent, request_id: str, began: float) -> Answer:
    body = orjson.dumps(sent.document)
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body)), **sent.headers}
    headers |= end(request_id, "POST", _ENDPOINT, sent.status, began=began, message_id=sent.document["id"])
    return Answer(_STATUS[sent.status], list(headers.items()), body)


def _environ() -> "WSGIEnvironment":
    """Return the smallest WSGI environment from which Flask can describe a failed request."""
    return {
        "REQUEST_METHOD": "POST",
        "PATH_INFO": PATH,
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": BytesIO(),
    }
