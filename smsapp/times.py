"""Times as callers see them."""

from datetime import UTC, datetime


def rfc3339(value: datetime) -> str:
    """Return a time in UTC, with milliseconds."""
    return value.astimezone(UTC).isoformat("T", "milliseconds")[:-6] + "Z"  # its offset is +00:00


def optional_rfc3339(value: datetime | None) -> str | None:
    """Return a time in UTC, with milliseconds, or None for None."""
    return rfc3339(value) if value else None
