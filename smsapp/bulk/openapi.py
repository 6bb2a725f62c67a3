"""Uploads in the API document. Their rows are read one by one, and faulty ones reported, so no model checks them."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from smsapp.bulk.requests import JobOptions
from smsapp.bulk.schemas import JobDocument, JobList
from smsapp.sending.options import ONE_TEXT
from smsapp.uploads.rows import MAX_ROWS
from smsapp.web.inputs import SCHEMA_REF, PlainSchemas
from smsapp.web.openapi_parts import Document, RoomDocument, UploadCell, csv_body, json_body


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
            "oneOf": ONE_TEXT,
        }
    )

    rows: Annotated[list[JobRow], Field(min_length=1, max_length=MAX_ROWS)]


class JobForm(JobOptions):
    """A job as a form: its options, with either `body` or `template`, and a CSV file."""

    model_config = ConfigDict(json_schema_extra={})  # tools cannot choose between forms with files

    file: Annotated[bytes, Field(description="CSV whose first line names the columns, `to` among them.")]


_CSV = "to,name\n+14155552671,Ada\n"


def _queries() -> list[Document]:
    """Return the options of a job as query parameters: an upload that is CSV has no other place for them."""
    schemas = JobOptions.model_json_schema(schema_generator=PlainSchemas, ref_template=SCHEMA_REF)[
        "properties"
    ]
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
