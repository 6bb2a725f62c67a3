"""Many texts from one upload."""

import csv
import io
import json
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self
from urllib.parse import quote

from smsapp_client.models import parse_time
from smsapp_client.transport import Transport, given

_PATH = "/sms/jobs"
_PATIENCE_S = 300.0
"""An upload of 100,000 rows is checked before it is answered."""


@dataclass(frozen=True, slots=True)
class Job:
    """A job and how far it has come. `state` is an open enumeration: expect new words."""

    id: str
    state: str
    name: str | None
    rows: int
    counts: dict[str, int]
    """Rows by what became of them; they add up to `rows`."""
    segments: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    """When every message had its outcome."""
    raw: dict[str, Any] = field(repr=False, compare=False)

    @classmethod
    def from_document(cls, document: dict[str, Any]) -> Self:
        """Return the job of an answer; one of a list has neither `outcomes` nor `faults` in `raw`."""
        return cls(
            id=document["id"],
            state=document["state"],
            name=document["name"],
            rows=document["rows"],
            counts=document["counts"],
            segments=document["segments"],
            created_at=datetime.fromisoformat(document["created_at"]),
            started_at=parse_time(document["started_at"]),
            finished_at=parse_time(document["finished_at"]),
            raw=document,
        )


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of one row: the message it is, or the reason why it is none."""

    line: int
    to: str
    client_reference: str | None
    state: str
    reason: str | None
    detail: str | None
    message_id: str | None
    status: str | None
    outcome: str | None
    error_code: int | None
    raw: dict[str, str] = field(repr=False, compare=False)

    @classmethod
    def from_row(cls, row: dict[str, str]) -> Self:
        """Return the result of a row of CSV, whose empty cells stand for nothing."""
        return cls(
            line=int(row["line"]),
            to=row["to"],
            client_reference=row["client_reference"] or None,
            state=row["state"],
            reason=row["reason"] or None,
            detail=row["detail"] or None,
            message_id=row["message_id"] or None,
            status=row["status"] or None,
            outcome=row["outcome"] or None,
            error_code=int(row["error_code"]) if row["error_code"] else None,
            raw=row,
        )


class Jobs:
    """`/sms/jobs`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def create(
        self,
        rows: Iterable[Mapping[str, str | int | None]],
        *,
        sender: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Upload rows, each with `to` and a value for each placeholder; none is sent before the job is started.

        Args:
            sender: the field `from`.
            idempotency_key: your own, to repeat the upload from another process; a new one for each call without.
            options: further fields of `POST /sms/jobs`: `body` or `template`, `name`, `start=True` to begin at once, …

        Raises:
            InvalidRequest: the options, or the upload as a whole, are wrong. Faulty rows are `raw["faults"]`.
        """
        document = given(**{"from": sender, **options}) | {"rows": [dict(row) for row in rows]}
        return self._create(idempotency_key, document=document)

    def create_from_csv(
        self,
        content: bytes,
        *,
        charset: str = "utf-8",
        sender: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Job:
        """Do the same with a CSV file whose first line names the columns, `to` among them."""
        form: list[tuple[str, Any]] = [
            (name, item if isinstance(item, str) else json.dumps(item))
            for name, value in given(**{"from": sender, **options}).items()
            for item in (value if isinstance(value, list | tuple) else (value,))
        ]
        form.append(("file", ("rows.csv", content, f"text/csv; charset={charset}")))
        return self._create(idempotency_key, form=form)

    def get(self, job_id: str) -> Job:
        """Return a job as it stands.

        Raises:
            NotFound: there is none with this id.
        """
        return Job.from_document(self._transport.request("GET", _address(job_id)))

    def all(self, *, state: str | None = None, page_size: int = 100) -> Iterator[Job]:
        """Go through all jobs, newest first; pages are fetched as they are needed."""
        query = {"state": state, "limit": page_size}
        yield from map(Job.from_document, self._transport.pages(_PATH, query))

    def start(self, job_id: str) -> Job:
        """Begin to send a job that is ready, and return it.

        Raises:
            Conflict: `wrong_job_state`.
            NotFound: there is none with this id.
        """
        return self._control(job_id, "start")

    def pause(self, job_id: str) -> Job:
        """Make no more messages of a running job's rows, and return it; raises as `start` does."""
        return self._control(job_id, "pause")

    def resume(self, job_id: str) -> Job:
        """Go on with a paused job, and return it; raises as `start` does."""
        return self._control(job_id, "resume")

    def cancel(self, job_id: str) -> Job:
        """Cancel every row that is not on its way, for good, and return the job; raises as `start` does."""
        return self._control(job_id, "cancel")

    def results(self, job_id: str) -> Iterator[JobResult]:
        """Go through what has become of each row by now, in the order of the upload.

        Raises:
            NotFound: there is none with this id.
        """
        text = self._transport.text(_address(job_id) + "/results.csv", patience_s=_PATIENCE_S)
        yield from map(JobResult.from_row, csv.DictReader(io.StringIO(text, newline="")))

    def _create(self, idempotency_key: str | None, **content: Any) -> Job:
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return Job.from_document(
            self._transport.request("POST", _PATH, headers=key, patience_s=_PATIENCE_S, **content)
        )

    def _control(self, job_id: str, command: str) -> Job:
        return Job.from_document(self._transport.request("POST", f"{_address(job_id)}/{command}"))


def _address(job_id: str) -> str:
    return f"{_PATH}/{quote(job_id, safe='')}"
