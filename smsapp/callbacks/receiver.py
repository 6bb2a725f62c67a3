"""The addresses that Twilio calls: the hottest path of the service.

Verify, append to Redis (else to the spool in the database, else refuse so that Twilio retries), answer. Nothing else
happens here: a worker decides what a callback means. Twilio never sees our outages as long as one of the two can store
the callback.

`smsapp.fastpath` brings plain requests here without WSGI; all others come through the WSGI branch in front of Flask.
"""

import time
from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Literal, cast
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from smsapp.callbacks import spool
from smsapp.db.sessions import writing_at_once
from smsapp.ids import new_id
from smsapp.metrics import CALLBACKS_RECEIVED
from smsapp.ports import StreamUnavailableError
from smsapp.queue.group_commit import GroupCommit
from smsapp.queue.tasks import FLAG_TTL_MS, Task, flag_of
from smsapp.refusals.note import RefusedCallbacks
from smsapp.runtime import Runtime
from smsapp.twilio.callback import Callback, CallbackKind
from smsapp.twilio.forms import Form, parse_form
from smsapp.twilio.signature import SignatureVerifier, looks_like_one
from smsapp.web.plain_http import Answer, PlainRequest, media_type, problem_answer
from smsapp.web.request_context import raw_target

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)

PREFIX = "/twilio/"
_EMPTY_TWIML = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
_PAUSE_AFTER_FAILURE_S = 1.0
_SPOOL_PATIENCE_S = 1.5
"""With half a second for Redis, less than the 3 s after which Twilio gives up, as our callback address asks it to."""

_FORM = "application/x-www-form-urlencoded"
_FIELDS = (
    ("x-twilio-signature", "HTTP_X_TWILIO_SIGNATURE"),
    ("content-type", "CONTENT_TYPE"),
    ("i-twilio-idempotency-token", "HTTP_I_TWILIO_IDEMPOTENCY_TOKEN"),
    ("host", "HTTP_HOST"),
    ("x-forwarded-proto", "HTTP_X_FORWARDED_PROTO"),
    ("x-forwarded-host", "HTTP_X_FORWARDED_HOST"),
    ("x-forwarded-port", "HTTP_X_FORWARDED_PORT"),
    ("x-forwarded-prefix", "HTTP_X_FORWARDED_PREFIX"),
)
"""The last five choose nothing: they help to explain a refusal."""

MAX_BODY_BYTES = 48 * 1024
"""A WhatsApp text of 4,096 characters, each of nine bytes when escaped, has 36 KiB; a status has less than one."""
_MAX_TOGETHER = 500
_Kind = CallbackKind | Literal["check"]
"""A check is signed like a callback and has no effect: `python -m smsapp doctor` sends it to our public address."""

_ACCEPTED = {kind: CALLBACKS_RECEIVED.labels(kind, "accepted") for kind in ("status", "inbound", "check")}
_ANSWERS = {
    "check": Answer("204 No Content", [], b""),
    "status": Answer("204 No Content", [], b""),
    "inbound": Answer(
        "200 OK",
        [("Content-Type", "text/xml"), ("Content-Length", str(len(_EMPTY_TWIML)))],
        _EMPTY_TWIML,
    ),
}


class _Refused(Exception):
    """A request that is answered with a problem document."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail


class CallbackIntake:
    """Answers Twilio's requests; everything else goes to the wrapped application."""

    def __init__(self, app: "WSGIApplication", rt: Runtime, refused: RefusedCallbacks) -> None:
        self._app = app
        self._rt = rt
        self._refused = refused
        self._verifier = SignatureVerifier(rt.settings.app_base_url, rt.settings.auth_tokens)
        self._accounts = rt.settings.account_sids
        self._redis_paused_until = 0.0
        self._somebody_must_wake = False
        self._keeping = GroupCommit(self._keep, limit=_MAX_TOGETHER)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request, the WSGI way."""
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(PREFIX) or environ["REQUEST_METHOD"] != "POST":
            return self._app(environ, start_response)
        kind, _ = _route(path)
        if kind is None:
            return self._app(environ, start_response)
        request = _plain(environ)
        try:
            if looks_like_one(request.fields["x-twilio-signature"]):
                request = request._replace(body=_read(environ))
        except _Refused as refused:
            answer = self._refusal(kind, refused, new_id(), request)
        else:
            answer = cast("Answer", self.take(request))  # the path is a callback address
        start_response(answer.status, answer.headers)
        return [answer.body] if answer.body else []

    def take(self, request: PlainRequest) -> Answer | None:
        """Store a callback if it is Twilio's, and return the answer; None for a path that is not a callback address."""
        kind, target = _route(request.path)
        if kind is None:
            return None
        receipt_id = new_id()
        try:
            body = self._verified(request)
            if kind != "check":
                self._keeping.add(
                    Callback(
                        receipt_id=receipt_id,
                        kind=kind,
                        target=target,
                        body=body,
                        idempotency_token=request.fields.get("i-twilio-idempotency-token", "")[:64] or None,
                        received_at=self._rt.clock(),
                    )
                )
        except _Refused as refused:
            return self._refusal(kind, refused, receipt_id, request)
        if self._somebody_must_wake:
            self._somebody_must_wake = False
            self._rt.tasks.publish(Task.TRACK_CALLBACKS)
        _ACCEPTED[kind].inc()
        return _ANSWERS[kind]

    def _refusal(self, kind: _Kind, refused: _Refused, request_id: UUID, request: PlainRequest) -> Answer:
        CALLBACKS_RECEIVED.labels(kind, refused.code).inc()
        if refused.status is not HTTPStatus.SERVICE_UNAVAILABLE:
            self._refused.note(kind, refused.code, request, request_id)
        headers = {"Retry-After": "2"} if refused.status is HTTPStatus.SERVICE_UNAVAILABLE else None
        return problem_answer(
            refused.status, refused.code, refused.detail, request_id=str(request_id), headers=headers
        )

    def _verified(self, request: PlainRequest) -> str:
        """Return the raw form after checking that Twilio signed it."""
        signature = request.fields.get("x-twilio-signature")
        if not signature:
            raise _Refused(
                HTTPStatus.FORBIDDEN, "signature_missing", "There is no X-Twilio-Signature header."
            )
        if not looks_like_one(signature):
            raise _forged()
        if media_type(request.fields.get("content-type", "")) != _FORM:
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", f"Send {_FORM}.")
        if len(request.body) > MAX_BODY_BYTES:
            raise _too_large()
        body, form = _form(request.body)
        if not self._verifier.verify(request.raw_target, form, signature):
            raise _forged()
        for name, value in form:
            if name == "AccountSid" and value.lower() not in self._accounts:
                raise _Refused(
                    HTTPStatus.FORBIDDEN,
                    "account_unknown",
                    "The signature is right, but AccountSid is neither our account nor a sub-account that we listed.",
                )
        return body

    def _keep(self, callbacks: list[Callback]) -> None:
        """Store callbacks durably: in the stream, else in the spool in the database.

        Raises:
            _Refused: neither could store them; Twilio retries on a 5xx, as our callback URL asks it to.
        """
        if time.monotonic() >= self._redis_paused_until:
            try:
                flag_was_down = self._rt.stream.append(
                    callbacks, flag=flag_of(Task.TRACK_CALLBACKS), flag_ttl_ms=FLAG_TTL_MS
                )
            except StreamUnavailableError as error:
                self._redis_paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE_S
                log.warning("stream_unavailable", error=str(error))
            else:
                self._somebody_must_wake = self._somebody_must_wake or flag_was_down
                return
        try:
            with writing_at_once(self._rt.sessions, patience_s=_SPOOL_PATIENCE_S) as session:
                for callback in callbacks:
                    spool.add(session, callback, reason=spool.REDIS_UNAVAILABLE)
        except SQLAlchemyError as error:
            log.warning("callbacks_not_kept", count=len(callbacks), error=type(error).__name__)
            raise _Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "Neither Redis nor the database took the callback.",
            ) from None


def _route(path: str) -> tuple[_Kind | None, str | None]:
    """Return the kind of callback and the last part of its path, which names a message."""
    rest = path[len(PREFIX) :]
    if rest == "status":
        return "status", None
    if rest == "inbound":
        return "inbound", None
    if rest == "check":
        return "check", None
    head, _, target = rest.partition("/")
    if head == "status" and target and "/" not in target:
        return "status", target[:64]
    return None, None


def _plain(environ: "WSGIEnvironment") -> PlainRequest:
    """Return the request without its body."""
    return PlainRequest(
        path=environ["PATH_INFO"],
        raw_target=raw_target(environ) or environ["PATH_INFO"],
        fields={name: environ.get(variable, "") for name, variable in _FIELDS},
        body=b"",
    )


def _read(environ: "WSGIEnvironment") -> bytes:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise _Refused(
            HTTPStatus.BAD_REQUEST, "bad_content_length", "Content-Length is not a number."
        ) from None
    if length > MAX_BODY_BYTES:
        raise _too_large()
    try:
        body: bytes = environ["wsgi.input"].read(length or MAX_BODY_BYTES + 1)
    except OSError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "bad_request", "The body cannot be read.") from None
    if len(body) > MAX_BODY_BYTES:
        raise _too_large()
    return body


def _forged() -> _Refused:
    return _Refused(
        HTTPStatus.FORBIDDEN,
        "signature_invalid",
        "The signature does not fit this address and these parameters.",
    )


def _too_large() -> _Refused:
    return _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The body is larger than 48 KiB.")


def _form(raw: bytes) -> tuple[str, Form]:
    """Return the body as text and as parameters."""
    try:
        body = raw.decode()
        return body, parse_form(body)
    except ValueError:
        raise _Refused(HTTPStatus.BAD_REQUEST, "malformed_form", "The body is not a form.") from None
