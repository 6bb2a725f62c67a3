"""The addresses that Twilio calls, as a small WSGI branch in front of Flask: the hottest path of the service.

Verify, hand to Redis (or the inbox table, or refuse so that Twilio repeats), answer. Nothing else happens here: what a
callback means is decided by a worker. Our own trouble never shows to Twilio as long as one place can keep the callback.
"""

import time
from collections.abc import Iterable
from datetime import datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import UUID

import orjson
import structlog
from sqlalchemy.exc import SQLAlchemyError

from smsapp.domain.forms import parse_form
from smsapp.domain.ids import new_id
from smsapp.gateway.signature import SignatureVerifier
from smsapp.jobs import FLAG_TTL_MS, Job, flag_of
from smsapp.metrics import CALLBACKS_RECEIVED
from smsapp.runtime import Runtime
from smsapp.services.group_commit import GroupCommit
from smsapp.store import inbox
from smsapp.stream import Callback, Kind, StreamUnavailableError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

log = structlog.get_logger(__name__)

PREFIX = "/twilio/"
MAX_BYTES = 64 * 1024
_EMPTY_TWIML = b'<?xml version="1.0" encoding="UTF-8"?><Response/>'
_PAUSE_AFTER_FAILURE_S = 1.0
_FORM = "application/x-www-form-urlencoded"
_MAX_TOGETHER = 500
_ACCEPTED = {kind: CALLBACKS_RECEIVED.labels(kind, "accepted") for kind in ("status", "inbound")}


class _Refused(Exception):
    """A request that is answered with a problem document."""

    def __init__(self, status: HTTPStatus, code: str, detail: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.detail = detail


class CallbackIntake:
    """Answers Twilio's requests; everything else goes to the wrapped application."""

    def __init__(self, app: "WSGIApplication", rt: Runtime) -> None:
        self._app = app
        self._rt = rt
        self._verifier = SignatureVerifier(rt.settings.app_base_url, rt.settings.auth_tokens)
        self._redis_paused_until = 0.0
        self._somebody_must_wake = False
        self._keeping = GroupCommit(self._keep, limit=_MAX_TOGETHER)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Answer one request."""
        path: str = environ.get("PATH_INFO", "")
        if not path.startswith(PREFIX) or environ["REQUEST_METHOD"] != "POST":
            return self._app(environ, start_response)
        kind, target = _route(path)
        if kind is None:
            return self._app(environ, start_response)
        receipt_id = new_id()
        try:
            body = self._verified_body(environ, kind)
            self._keeping.add(
                _callback(environ, kind, target, body, receipt_id=receipt_id, now=self._rt.clock())
            )
        except _Refused as refused:
            CALLBACKS_RECEIVED.labels(kind, refused.code).inc()
            return _problem(start_response, refused, receipt_id)
        if self._somebody_must_wake:
            self._somebody_must_wake = False
            self._rt.jobs.publish(Job.TRACK_CALLBACKS)
        _ACCEPTED[kind].inc()
        if kind == "inbound":
            start_response(
                "200 OK", [("Content-Type", "text/xml"), ("Content-Length", str(len(_EMPTY_TWIML)))]
            )
            return [_EMPTY_TWIML]
        start_response("204 No Content", [])
        return []

    def _verified_body(self, environ: "WSGIEnvironment", kind: Kind) -> str:
        """Return the form as it came, once it is certain that Twilio sent it."""
        signature = environ.get("HTTP_X_TWILIO_SIGNATURE")
        if not signature:
            raise _Refused(
                HTTPStatus.FORBIDDEN, "signature_missing", "There is no X-Twilio-Signature header."
            )
        raw = _read(environ)
        if not environ.get("CONTENT_TYPE", "").startswith(_FORM):
            raise _Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type", f"Send {_FORM}.")
        try:
            body = raw.decode()
            form = parse_form(body)
        except ValueError:
            raise _Refused(HTTPStatus.BAD_REQUEST, "malformed_form", "The body is not a form.") from None
        raw_target: str = environ.get("RAW_URI") or environ.get("REQUEST_URI") or environ["PATH_INFO"]
        if not self._verifier.verify(raw_target, form, signature):
            log.warning("callback_refused", kind=kind, raw_target=raw_target.partition("?")[0][:200])
            raise _Refused(
                HTTPStatus.FORBIDDEN,
                "signature_invalid",
                "The signature does not fit this address and these parameters.",
            )
        return body

    def _keep(self, callbacks: list[Callback]) -> None:
        """Put callbacks in a durable place: the stream, else the inbox table.

        Raises:
            _Refused: no place took them; Twilio repeats on a 5xx, as our callback address asks it to.
        """
        if time.monotonic() >= self._redis_paused_until:
            try:
                flag_was_down = self._rt.stream.append(
                    callbacks, flag=flag_of(Job.TRACK_CALLBACKS), flag_ttl_ms=FLAG_TTL_MS
                )
            except StreamUnavailableError as error:
                self._redis_paused_until = time.monotonic() + _PAUSE_AFTER_FAILURE_S
                log.warning("stream_unavailable", error=str(error))
            else:
                self._somebody_must_wake = self._somebody_must_wake or flag_was_down
                return
        try:
            with self._rt.sessions.begin() as session:
                for callback in callbacks:
                    inbox.add(session, callback, reason=inbox.REDIS_UNAVAILABLE)
        except SQLAlchemyError as error:
            log.warning("callbacks_not_kept", count=len(callbacks), error=type(error).__name__)
            raise _Refused(
                HTTPStatus.SERVICE_UNAVAILABLE,
                "unavailable",
                "Neither Redis nor the database took the callback.",
            ) from None


def _route(path: str) -> tuple[Kind | None, str | None]:
    """Return the kind of callback and the last part of its path, which names a message."""
    rest = path[len(PREFIX) :]
    if rest == "status":
        return "status", None
    if rest == "inbound":
        return "inbound", None
    head, _, target = rest.partition("/")
    if head == "status" and target and "/" not in target:
        return "status", target[:64]
    return None, None


def _read(environ: "WSGIEnvironment") -> bytes:
    try:
        length = int(environ.get("CONTENT_LENGTH") or 0)
    except ValueError:
        raise _Refused(
            HTTPStatus.BAD_REQUEST, "bad_content_length", "Content-Length is not a number."
        ) from None
    if length > MAX_BYTES:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The body is larger than 64 KiB.")
    body: bytes = environ["wsgi.input"].read(length or MAX_BYTES + 1)
    if len(body) > MAX_BYTES:
        raise _Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "too_large", "The body is larger than 64 KiB.")
    return body


def _callback(
    environ: "WSGIEnvironment", kind: Kind, target: str | None, body: str, *, receipt_id: UUID, now: datetime
) -> Callback:
    token = environ.get("HTTP_I_TWILIO_IDEMPOTENCY_TOKEN")
    return Callback(
        receipt_id=receipt_id,
        kind=kind,
        target=target,
        body=body,
        idempotency_token=token[:64] if token else None,
        received_at=now,
    )


def _problem(start_response: "StartResponse", refused: _Refused, request_id: UUID) -> list[bytes]:
    document: dict[str, Any] = {
        "type": "about:blank",
        "title": refused.status.phrase,
        "status": refused.status.value,
        "code": refused.code,
        "detail": refused.detail,
        "request_id": str(request_id),
    }
    body = orjson.dumps(document)
    headers = [("Content-Type", "application/problem+json"), ("Content-Length", str(len(body)))]
    if refused.status is HTTPStatus.SERVICE_UNAVAILABLE:
        headers.append(("Retry-After", "2"))
    start_response(f"{refused.status.value} {refused.status.phrase}", headers)
    return [body]
