"""Uploads in the API document. Their rows are read one by one, and faulty ones reported, so no model checks them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from smsapp.domain.uploads import MAX_ROWS
from smsapp.web.inputs import SCHEMA_REF, PlainSchemas
from smsapp.web.job_requests import JobOptions
from smsapp.web.openapi_parts import TEXT, Document
from smsapp.web.send_options import ONE_TEXT

Cell = str | int | None


class JobRow(BaseModel):
    """A recipient, and a value for each placeholder of the text. A faulty row is left out and reported."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Cell]

    to: Annotated[str, Field(description="The recipient in E.164 form.", examples=["+14155552671"])]
    client_reference: Annotated[Cell, Field(description="Your own id for the message.")] = None


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
            "oneOf": ONE_TEXT,
        }
    )

    rows: Annotated[list[JobRow], Field(min_length=1, max_length=MAX_ROWS)]


class JobForm(JobOptions):
    """A job as a form: its options, with either `body` or `template`, and a CSV file."""

    model_config = ConfigDict(json_schema_extra={})  # tools cannot choose between forms with files

    file: Annotated[bytes, Field(description="CSV whose first line names the columns, `to` among them.")]


class SuppressionRow(BaseModel):
    """Somebody who is not to be texted. A faulty row is left out and reported."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Cell]

    recipient: Annotated[str, Field(description="In E.164 form.", examples=["+12025550143"])]
    sender: Annotated[
        Cell, Field(description="A sender, or a Messaging Service's SID; none is every one.")
    ] = None
    note: Annotated[Cell, Field(description="Why; it is kept.")] = None


class SuppressionUpload(BaseModel):
    """A list of suppressions as JSON."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [{"rows": [{"recipient": "+12025550143", "note": "Asked by letter."}]}]
        },
    )

    rows: list[SuppressionRow]


UPLOADS: tuple[type[BaseModel], ...] = (JobUpload, JobForm, SuppressionUpload)


_JOB_CSV = "to,name\n+14155552671,Ada\n"


def _json(model: type[BaseModel]) -> Document:
    return {"application/json": {"schema": {"$ref": f"#/components/schemas/{model.__name__}"}}}


def _csv(example: str) -> Document:
    return {"text/csv": {"schema": TEXT, "examples": {"small": {"value": example}}}}


BODIES: dict[str, Document] = {
    "createJob": {
        **_json(JobUpload),
        **_csv(_JOB_CSV),
        "multipart/form-data": {
            "schema": {"$ref": f"#/components/schemas/{JobForm.__name__}"},
            "encoding": {"file": {"contentType": "text/csv"}},
            "examples": {"small": {"value": {"body": "Hello {{name}}!", "file": _JOB_CSV}}},
        },
    },
    "importSuppressions": {
        **_json(SuppressionUpload),
        **_csv("recipient,note\n+12025550143,Asked by letter.\n"),
    },
}
"""By operation."""


def queries(operation: str) -> list[Document]:
    """Return an operation's further parameters: options of an upload that has no place for them, which is CSV."""
    if operation != "createJob":
        return []
    schemas = JobOptions.model_json_schema(schema_generator=PlainSchemas, ref_template=SCHEMA_REF)[
        "properties"
    ]
    return [
        {"name": name, "in": "query", "required": False, "explode": True, "schema": schema}
        for name, schema in schemas.items()
    ]
