"""Requests about jobs as pydantic models, and the answers.

No model checks the rows of an upload: they are read one by one, and faulty ones reported. Those here are for the API
document only.
"""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema

from smsapp.sending.option_schemas import ONE_CONTENT, Body, ContentSource, SendOptions, Variables
from smsapp.uploads.rows import MAX_ROWS
from smsapp.web.fields import CursorOf, Text
from smsapp.web.inputs import SCHEMA_REF, PlainSchemas
from smsapp.web.openapi_parts import Document, RoomDocument, UploadCell, csv_body, default_in_words, json_body


class JobOptions(SendOptions, ContentSource):
    """What is the same for all rows of a job: what to send, as for one message, and how."""

    name: Annotated[Text | None, Field(min_length=1, max_length=255, description="For people.")] = None
    start: Annotated[
        bool, Field(description="Begin at once, leaving out faulty rows, instead of waiting to be started.")
    ] = False
    allow_duplicates: Annotated[
        bool,
        Field(description="Send a row, too, that has the same number and the same text as an earlier one."),
    ] = False


class CsvOptions(JobOptions):
    """The options in the query, beside a body of CSV; there `text` is what is `body` everywhere else.

    A parameter called `body` beside the request's body is one name for two things to generators of clients. The
    service takes it all the same (`JobOptions`).
    """

    body: Annotated[Body, Field(alias="text")] = None
    # Of an object each generator of clients would make something else in a query: a parameter for each member, say.
    content_variables: Annotated[
        Variables | None,
        WithJsonSchema(
            {"type": "string", "contentMediaType": "application/json", "examples": ['{"1": "{{name}}"}']}
        ),
        Field(description="What the Content template's variables stand for, as a JSON object."),
    ] = None


class JobListQuery(BaseModel):
    """Filters of the list of jobs."""

    model_config = ConfigDict(extra="forbid")

    state: Annotated[Text | None, Field(max_length=16, examples=["running"])] = None
    cursor: Annotated[
        UUID | None, CursorOf("job"), Field(description="`next_cursor` of the page before.")
    ] = None
    limit: Annotated[int, Field(ge=1, le=200)] = 50


class JobRow(BaseModel):
    """A recipient, and a value for each placeholder of the text. A faulty row is left out and reported."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, UploadCell]

    to: Annotated[str, Field(description="The recipient in E.164 form.", examples=["+14155552671"])]
    client_reference: Annotated[UploadCell, Field(description="Your own id for the message.")] = None


class JobUpload(JobOptions):
    """A job as JSON: its options, and its rows."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "body": "Hello {{name}}, your order is on its way.",
                    "rows": [{"to": "+14155552671", "name": "Ada"}],
                }
            ],
            **ONE_CONTENT,
        }
    )

    rows: Annotated[list[JobRow], Field(min_length=1, max_length=MAX_ROWS)]


class JobForm(JobOptions):
    """A job as a form: its options, with what to send, and a CSV file."""

    model_config = ConfigDict(json_schema_extra={})  # tools cannot choose between forms with files

    file: Annotated[bytes, Field(description="CSV whose first line names the columns, `to` among them.")]


class RowFault(BaseModel):
    """Why a row is not sent."""

    line: Annotated[
        int, Field(description="Where the row begins: in CSV the line, in JSON its number; from 1.")
    ]
    column: Annotated[str | None, Field(description="The cell at fault; null for the whole row.")]
    code: Annotated[str, Field(examples=["missing_value"])]
    detail: str


class RowCounts(BaseModel):
    """Where the rows are. They add up to `rows`."""

    faulty: int
    duplicate: Annotated[int, Field(description="The same number and text as an earlier row; not sent.")]
    opted_out: Annotated[int, Field(description="The recipient wants no texts from this sender; not sent.")]
    waiting: Annotated[int, Field(description="Not a message yet.")]
    stored: Annotated[int, Field(description="A message now: see `statuses` and `outcomes`.")]
    refused: Annotated[int, Field(description="Well when it came, but it could not become a message.")]
    canceled: int


class CostEstimate(BaseModel):
    """What the segments will cost. Those to countries without a price are counted, and not in the amount."""

    amount: Annotated[str, Field(examples=["16.60"])]
    currency: Annotated[str, Field(examples=["USD"])]
    unpriced_segments: int


class JobDocument(BaseModel):
    """A job and how far it has come. Enumerations are open: expect new words."""

    id: Annotated[str, Field(examples=["job_01890a5d96a07c4b9f3e2d1c0b0a0908"])]
    state: Annotated[
        str, Field(description="`ready`, `running`, `paused`, `canceled`, `completed`.", examples=["ready"])
    ]
    name: str | None
    body: Annotated[
        str | None, Field(description="The text with its placeholders; null for a sensitive one.")
    ]
    media_urls: list[str] | None
    content_sid: str | None
    content_variables: Annotated[
        dict[str, str] | None, Field(description="With their placeholders; null when sensitive.")
    ]
    smart_encoded: bool | None
    shorten_urls: bool | None
    send_as_mms: bool | None
    risk_check: str | None
    template: str | None
    template_version: int | None
    sender: Annotated[str | None, Field(alias="from")]
    messaging_service_sid: str | None
    tags: list[str] | None
    on_unconfirmed: str
    resend_after_failure: bool
    callback_url: str | None
    on_failure: dict[str, Any] | None
    sensitive: bool
    send_at: Annotated[datetime | None, Field(description="Until then, none of its rows is a message.")]
    deliver_by: datetime | None
    quiet_hours: str | None
    rows: int
    counts: RowCounts
    segments: Annotated[int, Field(description="How many parts all rows take that can be sent.")]
    segments_by_country: Annotated[
        dict[str, int], Field(description="By ISO 3166-1 alpha-2; `*` is numbers of no country.")
    ]
    cost_estimate: Annotated[
        CostEstimate | None, Field(description="By the operator's price list; null without one.")
    ]
    statuses: Annotated[dict[str, int], Field(description="Messages of the job by status.")]
    outcomes: Annotated[
        dict[str, int], Field(description="Messages of the job by outcome, once they have one.")
    ]
    in_flight: Annotated[int, Field(description="Messages of the job without an outcome yet.")]
    faults: Annotated[list[RowFault], Field(description="The first 100 faulty rows; all are in the results.")]
    ignored_columns: Annotated[
        list[str] | None, Field(description="Columns that the text does not use; null for JSON.")
    ]
    created_at: datetime
    started_at: datetime | None
    finished_at: Annotated[
        datetime | None, Field(description="When every row was settled and every message had an outcome.")
    ]
    updated_at: datetime


class JobSummary(BaseModel):
    """A job in a list, without what has to be counted."""

    id: str
    state: str
    name: str | None
    template: str | None
    template_version: int | None
    rows: int
    counts: RowCounts
    segments: int
    segments_by_country: dict[str, int]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime


class JobList(BaseModel):
    """A page of jobs, newest first."""

    data: list[JobSummary]
    has_more: bool
    next_cursor: str | None


_CSV = "to,name\n+14155552671,Ada\n"


def _queries() -> list[Document]:
    """Return the options of a job as query parameters: an upload that is CSV has no other place for them."""
    schemas = CsvOptions.model_json_schema(schema_generator=PlainSchemas, ref_template=SCHEMA_REF)[
        "properties"
    ]
    for schema in schemas.values():
        default_in_words(schema)  # a client that sent it along with another upload than CSV would be refused
    return [
        {"name": name, "in": "query", "required": False, "explode": True, "schema": schema}
        for name, schema in schemas.items()
    ]


DOCUMENT = RoomDocument(
    answers=(JobDocument, JobList),
    requests=(JobUpload, JobForm),
    bodies={
        "createJob": {
            **json_body(JobUpload),
            **csv_body(_CSV),
            "multipart/form-data": {
                "schema": {"$ref": f"#/components/schemas/{JobForm.__name__}"},
                "encoding": {"file": {"contentType": "text/csv"}},
                "examples": {"small": {"value": {"body": "Hello {{name}}!", "file": _CSV}}},
            },
        }
    },
    queries={"createJob": _queries()},
)
