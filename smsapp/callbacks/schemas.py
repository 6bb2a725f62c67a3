"""What Twilio posts, for the API document."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class StatusForm(BaseModel):
    """What Twilio posts about a message; it adds parameters without notice, and all are kept."""

    model_config = ConfigDict(extra="allow")

    MessageSid: str
    MessageStatus: Annotated[str, Field(examples=["delivered"])]
    AccountSid: str
    To: str
    ErrorCode: Annotated[str, Field(examples=["30003"])] = ""


class InboundForm(BaseModel):
    """What Twilio posts when somebody sends a text to one of the account's numbers."""

    model_config = ConfigDict(extra="allow")

    MessageSid: str
    AccountSid: str
    From: str
    To: str
    Body: str


class CheckForm(BaseModel):
    """What `python -m smsapp doctor` posts to see whether callbacks arrive; it has no effect."""

    model_config = ConfigDict(extra="allow")

    AccountSid: str = ""
