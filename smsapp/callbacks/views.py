"""Twilio's addresses in Flask: only for the API document and for requests that are no callbacks.

POST requests are answered by `smsapp.callbacks.receiver` before Flask sees them.
"""

from typing import Any, NoReturn

from apiflask import APIBlueprint

from smsapp.callbacks import schemas
from smsapp.web.openapi import SIGNED, answer, problems
from smsapp.web.problems import ProblemError

bp = APIBlueprint("twilio", __name__, url_prefix="/twilio", tag="Twilio")

_REFUSALS = problems(400, 403, 413, 415, 503)


@bp.post("/status")
@bp.input(schemas.StatusForm, location="form")
@bp.doc(
    summary="Take a status callback",
    description="Called by Twilio. The message is found by its SID.",
    operation_id="takeStatusCallback",
    security=SIGNED,
    responses=answer(204, "Kept.") | _REFUSALS,
)
def status(**_: Any) -> NoReturn:
    """Never reached while the intake stands in front."""
    raise _not_through_the_intake()


@bp.post("/status/<target>")
@bp.input(schemas.StatusForm, location="form")
@bp.doc(
    summary="Take a message's status callback",
    description="Called by Twilio. The address names the message.",
    operation_id="takeMessageStatusCallback",
    security=SIGNED,
    responses=answer(204, "Kept.") | _REFUSALS,
)
def status_of(**_: Any) -> NoReturn:
    """Never reached while the intake stands in front."""
    raise _not_through_the_intake()


@bp.post("/inbound")
@bp.input(schemas.InboundForm, location="form")
@bp.doc(
    summary="Take an inbound text",
    description="Called by Twilio. Answered with empty TwiML, so nothing is replied.",
    operation_id="takeInboundMessage",
    security=SIGNED,
    responses=answer(200, "Kept.", media_type="text/xml") | _REFUSALS,
)
def inbound(**_: Any) -> NoReturn:
    """Never reached while the intake stands in front."""
    raise _not_through_the_intake()


def _not_through_the_intake() -> ProblemError:
    return ProblemError(503, "unavailable", "Callbacks are not taken here.")
