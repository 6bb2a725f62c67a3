"""Estimates come from the operator's table alone, and the verdict on a dry run is that of its worst check."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.sending.prices import estimate
from smsapp.sending.verdict import CheckVerdict, Finding, worst

TABLE = {"US": Decimal("0.0083"), "*": Decimal("0.1")}


@pytest.mark.parametrize(
    ("table", "region", "expected"),
    [
        (TABLE, "US", "0.0166"),
        (TABLE, "DE", "0.2"),
        (TABLE, None, "0.2"),
        ({"US": Decimal("0.0083")}, "DE", None),
        ({}, "US", None),
        ({"US": Decimal(0)}, "US", "0"),
    ],
)
def test_a_price_is_of_its_country_or_of_anywhere_or_unknown(
    table: dict[str, Decimal], region: str | None, expected: str | None
) -> None:
    price = estimate(table, "EUR", region=region, segments=2)

    assert (price and str(price.amount)) == expected
    assert price is None or price.currency == "EUR"


@given(st.lists(st.sampled_from(CheckVerdict)))
def test_the_worst_verdict_counts(verdicts: list[CheckVerdict]) -> None:
    whole = worst([Finding("x", verdict, "") for verdict in verdicts])

    for harsher in (CheckVerdict.REFUSE, CheckVerdict.HOLD, CheckVerdict.WARN, CheckVerdict.PASS):
        if harsher in verdicts:
            assert whole is harsher
            return
    assert whole is CheckVerdict.PASS
