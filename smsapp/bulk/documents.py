"""Jobs, rows and templates as the documents that callers see."""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from sqlalchemy import Row

from smsapp.bulk.models import BulkJob, BulkRow
from smsapp.bulk.queries import Progress
from smsapp.bulk.rows import RowState, explain_row
from smsapp.config import Settings
from smsapp.content.rules import shown_options
from smsapp.ids import public_id, public_job_id
from smsapp.messages.carrier_time import latency_s
from smsapp.sending.prices import estimate
from smsapp.times import optional_rfc3339
from smsapp.uploads.spreadsheets import harmless

RESULT_COLUMNS = (
    "line",
    "to",
    "client_reference",
    "state",
    "reason",
    "column",
    "detail",
    "message_id",
    "status",
    "outcome",
    "error_code",
    "segments",
    "price",
    "price_unit",
    "finished_at",
    "from",
    "carrier_at",
    "latency_s",
)


def job_view(
    job: BulkJob, progress: Progress, faulty: Sequence[BulkRow], settings: Settings
) -> dict[str, Any]:
    """Return a job with its progress, its first faulty rows, and its estimated cost at the operator's prices."""
    return job_summary(job) | {
        "cost_estimate": _cost(job.segments_by_country, settings),
        "body": None if job.sensitive else job.body,
        "media_urls": job.media_urls,
        **shown_options(job.options, sensitive=job.sensitive),
        "from": job.sender,
        "messaging_service_sid": job.messaging_service_sid,
        "tags": job.tags,
        "on_unconfirmed": job.on_unconfirmed,
        "resend_after_failure": job.resend_after_failure,
        "callback_url": job.callback_url,
        "on_failure": job.on_failure,
        "sensitive": job.sensitive,
        "send_at": optional_rfc3339(job.send_at),
        "deliver_by": optional_rfc3339(job.deliver_by),
        "quiet_hours": job.quiet_hours,
        "statuses": progress.statuses,
        "outcomes": progress.outcomes,
        "in_flight": progress.in_flight,
        "faults": [_fault_view(row) for row in faulty],
        "ignored_columns": job.ignored_columns,
    }


def job_summary(job: BulkJob) -> dict[str, Any]:
    """Return a job as lists show it."""
    return {
        "id": public_job_id(job.id),
        "state": job.state,
        "name": job.name,
        "template": job.template,
        "template_version": job.template_version,
        "rows": job.rows,
        "counts": {state.value: getattr(job, state) for state in RowState},
        "segments": job.segments,
        "segments_by_country": job.segments_by_country,
        "created_at": optional_rfc3339(job.created_at),
        "started_at": optional_rfc3339(job.started_at),
        "finished_at": optional_rfc3339(job.finished_at),
        "updated_at": optional_rfc3339(job.updated_at),
    }


def results_csv(pages: Iterable[Sequence[tuple[Row[Any], Row[Any] | None]]]) -> Iterator[str]:
    """Yield a CSV file in chunks, with one line per row of the job."""
    yield _csv([RESULT_COLUMNS])
    for page in pages:
        yield _csv(_result(row, message) for row, message in page)


def _cost(segments: Mapping[str, int], settings: Settings) -> dict[str, Any] | None:
    if not settings.price_per_segment:
        return None
    amount, unpriced = Decimal(0), 0
    for region, count in segments.items():
        price = estimate(settings.price_per_segment, settings.price_currency, region=region, segments=count)
        amount += price.amount if price else 0
        unpriced += 0 if price else count
    return {"amount": str(amount), "currency": settings.price_currency, "unpriced_segments": unpriced}


def _result(row: Row[Any], message: Row[Any] | None) -> Iterator[str]:
    shown: dict[str, Any] = {
        "line": row.line,
        "to": _cell(message.to if message else row.to),
        "client_reference": _cell(row.client_reference),
        "state": row.state,
        "reason": row.reason,
        "column": _cell(row.column),
        "detail": explain_row(row.reason, row.column) if row.reason else None,
    }
    if message:
        shown |= {
            "message_id": public_id(message.id),
            "status": message.status,
            "outcome": message.outcome,
            "error_code": message.error_code,
            "segments": message.num_segments or message.segments,
            "price": message.price,
            "price_unit": message.price_unit,
            "finished_at": optional_rfc3339(message.finished_at),
            "from": _cell(message.sender or message.actual_sender),
            "carrier_at": optional_rfc3339(message.carrier_at),
            "latency_s": latency_s(message.submitted_at, message.finished_at, message.carrier_at),
        }
    return ("" if shown.get(name) is None else str(shown[name]) for name in RESULT_COLUMNS)


def _cell(text: str | None) -> str:
    return harmless(text or "")


def _fault_view(row: BulkRow) -> dict[str, Any]:
    reason = row.reason or "invalid"
    return {
        "line": row.line,
        "column": row.column,
        "code": reason,
        "detail": explain_row(reason, row.column),
    }


def _csv(rows: Iterable[Iterable[str]]) -> str:
    written = io.StringIO()
    csv.writer(written).writerows(rows)
    return written.getvalue()
