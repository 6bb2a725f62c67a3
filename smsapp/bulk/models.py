"""The tables of bulk sending: jobs, their rows, and stored templates."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ForeignKey, Index, String, false, text
from sqlalchemy.orm import Mapped, mapped_column

from smsapp.db.base import Base


class BulkJob(Base):
    """Many texts from one upload.

    `body` is a copy of the template that its rows were filled into, and is empty when they are sensitive; so are the
    variables in `options`, which are as in a message. `send_at` is the earliest time at which rows may become messages.

    The counts are of rows and change in the transactions that change rows; the states of the job's messages are counted
    in `messages`, by `job_id`.
    """

    __tablename__ = "jobs"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    api_key_id: Mapped[UUID] = mapped_column(ForeignKey("api_keys.id"))
    name: Mapped[str | None] = mapped_column(String(255))
    state: Mapped[str] = mapped_column(String(16))
    body: Mapped[str]
    media_urls: Mapped[list[str] | None]
    options: Mapped[dict[str, Any] | None]
    template: Mapped[str | None] = mapped_column(String(64))
    template_version: Mapped[int | None]
    sender: Mapped[str | None] = mapped_column(String(64))
    messaging_service_sid: Mapped[str | None] = mapped_column(String(34))
    tags: Mapped[list[str] | None]
    on_unconfirmed: Mapped[str] = mapped_column(String(8))
    resend_after_failure: Mapped[bool]
    callback_url: Mapped[str | None]
    on_failure: Mapped[dict[str, Any] | None]
    sensitive: Mapped[bool] = mapped_column(server_default=false())
    send_at: Mapped[datetime | None]
    deliver_by: Mapped[datetime | None]
    quiet_hours: Mapped[str | None] = mapped_column(String(11))
    ignored_columns: Mapped[list[str] | None]
    request_id: Mapped[str | None] = mapped_column(String(64))

    rows: Mapped[int]
    segments: Mapped[int]
    segments_by_country: Mapped[dict[str, Any]]
    faulty: Mapped[int]
    duplicate: Mapped[int]
    opted_out: Mapped[int]
    waiting: Mapped[int]
    stored: Mapped[int]
    refused: Mapped[int]
    canceled: Mapped[int]

    created_at: Mapped[datetime]
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    updated_at: Mapped[datetime]

    __table_args__ = (
        # A partial index: it holds unfinished jobs only.
        Index(
            "ix_jobs_unfinished",
            "id",
            postgresql_where=text("finished_at IS NULL"),
            sqlite_where=text("finished_at IS NULL"),
        ),
    )


class BulkRow(Base):
    """One row of an upload. `body` and `content_variables` are final, and there until its message is stored."""

    __tablename__ = "job_rows"

    job_id: Mapped[UUID] = mapped_column(ForeignKey("jobs.id"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    line: Mapped[int]
    state: Mapped[str] = mapped_column(String(16))
    to: Mapped[str | None] = mapped_column(String(64))
    body: Mapped[str | None]
    content_variables: Mapped[dict[str, Any] | None]
    client_reference: Mapped[str | None] = mapped_column(String(255))
    reason: Mapped[str | None] = mapped_column(String(32))
    column: Mapped[str | None] = mapped_column(String(64))
    message_id: Mapped[UUID | None]

    __table_args__ = (
        Index(
            "ix_job_rows_waiting",
            "job_id",
            "number",
            postgresql_where=text("state = 'waiting'"),
            sqlite_where=text("state = 'waiting'"),
        ),
    )
