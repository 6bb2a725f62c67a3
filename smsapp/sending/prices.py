"""Estimate the cost of a text from the operator's own price table: we never guess a price."""

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

ANYWHERE = "*"
"""The key for every country that the table does not name."""


@dataclass(frozen=True, slots=True)
class Price:
    """An estimate. `amount` is for all segments, in `currency` (ISO 4217)."""

    amount: Decimal
    per_segment: Decimal
    currency: str


def estimate(
    table: Mapping[str, Decimal], currency: str, *, region: str | None, segments: int
) -> Price | None:
    """Return the price of this many segments to a country (ISO 3166-1 alpha-2), None when the table has none."""
    per_segment = table.get(region or ANYWHERE, table.get(ANYWHERE))
    if per_segment is None:
        return None
    return Price(per_segment * segments, per_segment, currency)
