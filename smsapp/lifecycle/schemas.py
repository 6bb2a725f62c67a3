"""Plans for failures as callers write them."""

from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from smsapp.lifecycle.failure_plan import ANY, LATE, MAX_STEPS, parse_span
from smsapp.twilio.error_codes import FailureClass
from smsapp.web.fields import WHOLE, Sender
from smsapp.web.openapi_parts import RoomDocument


def _plan_span(value: str) -> str:
    parse_span(value)
    return value


_PLAN_WORDS = "|".join([ANY, LATE, *FailureClass])


PlanWord = Annotated[str, StringConstraints(pattern=rf"^({_PLAN_WORDS}|[0-9]{{5}})$")]


PlanSpan = Annotated[
    str,
    StringConstraints(max_length=8),
    AfterValidator(_plan_span),
    Field(json_schema_extra={"pattern": r"^[0-9]{1,6}[smh]$"}),
]


class PlanStep(BaseModel):
    """What to do about a failure that `on` names; each step is taken at most once."""

    model_config = ConfigDict(extra="forbid")

    on: Annotated[
        list[PlanWord],
        Field(
            min_length=1,
            max_length=20,
            description="Classes as in `error.class`, Twilio's error codes, `any`, or `deadline_missed`.",
        ),
    ]
    do: Annotated[
        Literal["resend", "request_fallback"],
        Field(description="Send it again, or tell the event `fallback.requested`: other ways are yours."),
    ]
    after: Annotated[
        PlanSpan | None, Field(description="How long to wait before sending it again.", examples=["5m"])
    ] = None
    sender: Annotated[Sender | None, Field(alias="from", description="Send it again from here.")] = None
    messaging_service_sid: Annotated[
        str | None, Field(pattern=r"^MG[0-9a-fA-F]{32}$", description="Send it again through this one.")
    ] = None
    channel: Annotated[
        Literal["whatsapp"] | None, Field(description="Send it again on this channel; needs `from`.")
    ] = None

    @model_validator(mode="after")
    def _makes_sense(self) -> "PlanStep":
        resends = self.do == "resend"
        if not resends and (self.after or self.sender or self.messaging_service_sid or self.channel):
            raise ValueError("a fallback is requested at once and has no sender")
        if resends and {"opt_out", "deadline_missed"} & set(self.on):
            raise ValueError("nothing is sent again after opt_out or deadline_missed")
        if self.channel and (not self.sender or self.messaging_service_sid):
            raise ValueError("a channel needs from, its own sender there, and no messaging_service_sid")
        return self


class FailurePlan(BaseModel):
    """Steps in the order of preference: the first one left that fits is taken."""

    model_config = ConfigDict(extra="forbid")

    steps: Annotated[list[PlanStep], Field(min_length=1, max_length=MAX_STEPS)]
    max_segments: Annotated[
        int | None,
        Field(ge=1, le=1000, description="What all attempts may cost together, the first one included."),
        WHOLE,
    ] = None

    def as_document(self) -> dict[str, Any]:
        """Return the plan as it is stored and shown."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


DOCUMENT = RoomDocument(requests=(FailurePlan,))
