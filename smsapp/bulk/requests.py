"""Requests about jobs and templates as pydantic models."""

from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field

from smsapp.sending.options import SendOptions, TextSource
from smsapp.web.fields import CursorOf, Text


class JobOptions(SendOptions, TextSource):
    """What is the same for all rows of a job. Give `body` or `template`."""

    name: Annotated[Text | None, Field(min_length=1, max_length=255, description="For people.")] = None
    start: Annotated[
        bool, Field(description="Begin at once, leaving out faulty rows, instead of waiting to be started.")
    ] = False
    allow_duplicates: Annotated[
        bool,
        Field(description="Send a row, too, that has the same number and the same text as an earlier one."),
    ] = False


class JobListQuery(BaseModel):
    """Filters of the list of jobs."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[Text | None, Field(max_length=16, examples=["running"])] = None
    cursor: Annotated[
        UUID | None, CursorOf("job"), Field(description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50
