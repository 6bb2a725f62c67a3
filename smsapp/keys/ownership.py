"""Whose a row is: the application's whose key made it. Every query for a caller asks here, so the rule is in one place.

The keys of an application are few and in no hot path: the condition is a subquery on `api_keys`, not a column that each
message would have to carry and that could contradict its key.
"""

from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import QueryableAttribute

from smsapp.keys.models import ApiKey


def belongs_to(
    application_id: UUID, made_by: ColumnElement[Any] | QueryableAttribute[Any]
) -> ColumnElement[bool]:
    """Return the condition that this column names a key of the application."""
    return made_by.in_(select(ApiKey.id).where(ApiKey.application_id == application_id))
