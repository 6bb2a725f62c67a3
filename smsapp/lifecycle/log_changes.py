"""Tell in the log what became of each message, once that is committed."""

from collections.abc import Sequence

import structlog

from smsapp.ids import public_id
from smsapp.messages.queries import Change

log = structlog.get_logger(__name__)


def log_changes(changes: Sequence[Change]) -> None:
    """Write one line for each message whose status or outcome changed; the caller has committed."""
    tell = log.bind().info  # once for all: each use of the unbound logger makes a bound one
    for change in changes:
        before, after = change.before, change.after
        if after.status is before.status and after.outcome is before.outcome:
            continue
        tell(
            "status_changed",
            message_id=public_id(after.id),
            request_id=after.request_id,
            twilio_sid=after.twilio_sid,
            attempt=after.attempt,
            was=str(before.status),
            status=str(after.status),
            outcome=after.outcome and str(after.outcome),
            error_code=after.error_code,
            source=str(change.events[-1].source),
        )
