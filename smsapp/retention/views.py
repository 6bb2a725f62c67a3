"""Erasing a message at its sender's request."""

from apiflask import APIBlueprint
from flask import Response

from smsapp.keys.scopes import Scope
from smsapp.messages.views import no_such_message, owned_message
from smsapp.retention.erase import MessageInFlightError, erase_message
from smsapp.sending.cancel import MessageNotFoundError
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import ProblemError
from smsapp.web.wiring import runtime

bp = APIBlueprint("retention", __name__, url_prefix="/sms", tag="Messages")


@bp.delete("/messages/<message_id>")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.doc(
    summary="Erase a message",
    operation_id="eraseMessage",
    responses=answer(204, "Its number and its text are gone here, and soon at Twilio.")
    | problems(401, 403, 404, 409, 500, 503),
)
def erase(message_id: str) -> Response:
    """Remove a message's number, text, reference and tags; its status, times and price stay. Safe to repeat.

    `to` is empty from then on. The text that Twilio has is removed as soon as Twilio allows it; `redacted_at` says when
    that was done. 409 says that the message has no outcome yet: cancel it, or wait for its outcome.
    """
    try:
        erase_message(runtime(), owned_message(message_id))
    except MessageNotFoundError:
        raise no_such_message() from None
    except MessageInFlightError:
        detail = "The message has no outcome yet; cancel it, or wait for its outcome."
        raise ProblemError(409, "message_in_flight", detail) from None
    return Response(status=204)
