"""Bulk jobs in a test, made as an upload would make them."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from smsapp.bulk.create import create_job
from smsapp.bulk.draft import JobDraft, RowPattern
from smsapp.runtime import Runtime
from smsapp.templates.rules import parse_template
from smsapp.uploads.rows import RawRow
from tests.support.environment import SENDER


def make_job(
    rt: Runtime, key_id: UUID, rows: Sequence[Mapping[str, str]], *, body: str = "Hi", start: bool = True
) -> UUID:
    """Store a job with these rows, and return its id."""
    draft = JobDraft(
        api_key_id=key_id,
        body=body,
        template_name=None,
        template_version=None,
        sender=SENDER,
        messaging_service_sid=None,
        on_unconfirmed="hold",
        resend_after_failure=False,
        pattern=RowPattern(parse_template(body)),
        start=start,
    )
    raw = [RawRow(line, dict(cells)) for line, cells in enumerate(rows, start=2)]
    accepted = create_job(rt, draft, raw, render=lambda job, _: {"id": job.id.hex})
    return UUID(accepted.answer["id"])
