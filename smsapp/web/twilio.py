"""Twilio's addresses in Flask: only for the API document and for requests that are no callbacks.

POST requests are answered by `smsapp.web.callbacks` before Flask sees them.
"""

from typing import Any, NoReturn

from apiflask import APIBlueprint

from smsapp.web import schemas
from smsapp.web.problems import ProblemError

bp = APIBlueprint("twilio", __name__, url_prefix="/twilio", tag="Twilio")

_REFUSALS: dict[int | str, Any] = {
    status: {"description": "Problem", "content": schemas.PROBLEM_CONTENT}
    for status in (400, 403, 413, 415, 503)
}


@bp.post("/status")
@bp.doc(
    summary="Take a status callback",
    description="Called by Twilio, with X-Twilio-Signature. The message is found by its SID.",
    responses={204: {"description": "Kept."}, **_REFUSALS},
)
def status() -> NoReturn:
    """Never reached while the intake stands in front."""
    raise _not_through_the_intake()


@bp.post("/status/<message_id>")
@bp.doc(
    summary="Take a message's status callback",
    description="Called by Twilio, with X-Twilio-Signature. The address names the message.",
    responses={204: {"description": "Kept."}, **_REFUSALS},
)
def status_of(message_id: str) -> NoReturn:  # noqa: ARG001 - named by the route
    """Never reached while the intake stands in front."""
    raise _not_through_the_intake()


@bp.post("/inbound")
@bp.doc(
    summary="Take an inbound text",
    description="Called by Twilio, with X-Twilio-Signature. Answered with empty TwiML.",
    responses={200: {"description": "Kept.", "content": {"text/xml": {}}}, **_REFUSALS},
)
def inbound() -> NoReturn:
    """Never reached while the intake stands in front."""
    raise _not_through_the_intake()


def _not_through_the_intake() -> ProblemError:
    return ProblemError(503, "unavailable", "Callbacks are not taken here.")
