"""Answers about the health of the service."""

from typing import Annotated

from pydantic import BaseModel, Field

from smsapp.web.openapi_parts import RoomDocument


class Health(BaseModel):
    """A sign of life."""

    status: str


class Readiness(BaseModel):
    """What each thing that the service needs is like: `ok`, or the name of what went wrong."""

    status: Annotated[str, Field(examples=["ok", "degraded", "unavailable"])]
    checks: dict[str, str]


DOCUMENT = RoomDocument(answers=(Health, Readiness))
