"""The value of an inbound text."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class InboundText:
    """A text that somebody sent to us. `opt_out_type` is STOP, START or HELP with Advanced Opt-Out, else None."""

    twilio_sid: str
    sender: str
    to: str
    messaging_service_sid: str | None
    body: str
    opt_out_type: str | None
    payload: dict[str, object]
