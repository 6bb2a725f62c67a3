"""Reading the upload of a job: its options, and its rows one by one."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any, Literal

from pydantic import ValidationError

from smsapp.bulk.draft import RowPattern
from smsapp.bulk.rows import REFERENCE, TO
from smsapp.bulk.schemas import CsvOptions, JobOptions
from smsapp.uploads.csv_rows import CsvRows
from smsapp.uploads.json_rows import read_options, read_rows
from smsapp.uploads.rows import RawRow, UnreadableUpload
from smsapp.web.inputs import refusal
from smsapp.web.problems import Fault, ProblemError, invalid_request
from smsapp.web.uploads import IncomingUpload, YieldingFile

_LISTS = frozenset({"tags", "media_urls"})
_DOCUMENTS = frozenset({"on_failure", "content_variables"})
"""Options that are JSON where all options are texts."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A whole upload: its options and its rows.

    `rows_digest` is the same for rows that mean the same; `raw` is what tells two uploads apart byte by byte.
    """

    options: JobOptions
    rows: Iterable[RawRow]
    columns: Sequence[str] | None
    rows_digest: bytes
    raw: bytes
    options_in: Literal["body", "query"] = "body"

    def pointer(self, name: str) -> str:
        """Return a pointer to an option: a JSON Pointer, or its query parameter."""
        if self.options_in == "body":
            return f"/{name}"
        return f"?{type(self.options).model_fields[name].alias or name}"

    def unused_columns(self, pattern: RowPattern) -> list[str] | None:
        """Return the columns that the text does not use; None for JSON, where each row names its own values.

        Raises:
            UnreadableUpload: there is a placeholder without a column.
        """
        if self.columns is None:
            return None
        missing = [name for name in pattern.placeholders if name not in self.columns]
        if missing:
            names = ", ".join(missing)
            raise UnreadableUpload("missing_column", f"The text has placeholders without a column: {names}.")
        return [name for name in self.columns if name not in {TO, REFERENCE, *pattern.placeholders}]


def read_upload(incoming: IncomingUpload, spool: IO[bytes]) -> Upload:
    """Write the request's body to `spool` and return what it holds.

    Raises:
        ProblemError: the options are faulty, or the body is neither JSON, CSV nor a form with a CSV file.
        UnreadableUpload: it holds no readable rows.
    """
    if incoming.media_type == "application/json":
        return _read_json(incoming, spool)
    if incoming.media_type == "text/csv":
        return _read_csv(incoming, spool)
    if incoming.media_type == "multipart/form-data":
        return _read_form(incoming)
    raise ProblemError(
        415,
        "unsupported_media_type",
        "Send application/json, text/csv, or multipart/form-data with a CSV file.",
    )


def _read_json(incoming: IncomingUpload, spool: IO[bytes]) -> Upload:
    _without_query(incoming)
    raw = incoming.receive(spool)
    given, digest = read_options(YieldingFile(spool))
    try:
        options = JobOptions.model_validate_json(json.dumps(given), strict=True)
    except ValidationError as error:
        raise refusal(error, "json") from None
    return Upload(options, read_rows(spool), None, digest, raw)


def _read_csv(incoming: IncomingUpload, spool: IO[bytes]) -> Upload:
    options = _options(incoming.query, "query")
    digest = incoming.receive(spool)
    rows = CsvRows(spool, charset=incoming.charset, exported=(TO, REFERENCE))
    return Upload(options, rows, rows.columns, digest, incoming.query_string + b"\n" + digest, "query")


def _read_form(incoming: IncomingUpload) -> Upload:
    _without_query(incoming)
    form = incoming.read_form()
    options = _options(form.fields, "form")
    if form.file is None:
        raise invalid_request(Fault("/file", "required", "This field is required, as a file."))
    rows = CsvRows(form.file, charset=form.charset, exported=(TO, REFERENCE))
    fields = json.dumps(sorted((name, text) for name, texts in form.fields.items() for text in texts))
    return Upload(options, rows, rows.columns, form.digest, fields.encode() + b"\n" + form.digest)


def _without_query(incoming: IncomingUpload) -> None:
    """Refuse options in the query that would be ignored: they belong in the body."""
    faults = [
        Fault(f"?{name}", "unknown_field", "Only with CSV do options stand in the query.")
        for name in incoming.query
    ]
    if faults:
        raise ProblemError(400, "invalid_request", faults[0].detail, faults)


def _options(given: Mapping[str, Sequence[str]], location: str) -> JobOptions:
    values: dict[str, Any] = {
        name: texts if name in _LISTS else texts[0] for name, texts in given.items() if name != "file"
    }
    repeated = [
        name for name, texts in given.items() if len(texts) > 1 and name in values and name not in _LISTS
    ]
    if repeated:
        raise invalid_request(Fault(f"?{repeated[0]}", "repeated", "Give this parameter once."))
    for name in _DOCUMENTS & values.keys():
        values[name] = _decoded(values[name])
    kind = CsvOptions if location == "query" and "text" in values else JobOptions
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise refusal(error, "query" if location == "query" else "json") from None


def _decoded(text: str) -> object:
    """Return the parsed JSON; text that is not JSON is returned as is, and validation refuses it."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
