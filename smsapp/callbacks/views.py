"""Twilio's callback addresses in Flask: for the API document, and for requests other than POST (405).

POST requests are answered by `smsapp.callbacks.receiver`, in front of Flask.
"""

from typing import Any, NoReturn

from apiflask import APIBlueprint
from pydantic import BaseModel

from smsapp.callbacks import schemas
from smsapp.web.openapi import SIGNED, Responses, answer, problems
from smsapp.web.problems import ProblemError

bp = APIBlueprint("twilio", __name__, url_prefix="/twilio", tag="Twilio")


def _document(
    rule: str, operation_id: str, form: type[BaseModel], success: Responses, *, summary: str, description: str
) -> None:
    """Add an address whose POST requests never reach Flask."""

    @bp.input(form, location="form")
    @bp.doc(
        summary=summary,
        description=description,
        operation_id=operation_id,
        security=SIGNED,
        responses=success | problems(400, 403, 413, 415, 503),
    )
    def never_reached(**_: Any) -> NoReturn:
        raise ProblemError(503, "unavailable", "Callbacks are not taken here.")

    bp.add_url_rule(rule, operation_id, never_reached, methods=["POST"])


_document(
    "/status",
    "takeStatusCallback",
    schemas.StatusForm,
    answer(204, "Kept."),
    summary="Take a status callback",
    description="Called by Twilio. The message is found by its SID.",
)
_document(
    "/status/<target>",
    "takeMessageStatusCallback",
    schemas.StatusForm,
    answer(204, "Kept."),
    summary="Take a message's status callback",
    description="Called by Twilio. The address names the message.",
)
_document(
    "/inbound",
    "takeInboundMessage",
    schemas.InboundForm,
    answer(200, "Kept.", media_type="text/xml"),
    summary="Take an inbound text",
    description="Called by Twilio. Answered with empty TwiML, so nothing is replied.",
)
_document(
    "/check",
    "takeCheck",
    schemas.CheckForm,
    answer(204, "The signature is right."),
    summary="Check that callbacks arrive",
    description="Called by `python -m smsapp doctor`, with a signature as Twilio makes it. It has no effect.",
)
