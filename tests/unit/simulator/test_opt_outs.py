"""The simulated Twilio hears what Twilio hears."""

import pytest

from simulator.opt_outs import keyword_of


@pytest.mark.parametrize(
    ("body", "opt_out_type", "to", "keyword"),
    [
        ("STOP", "", "+15005550006", "STOP"),
        ("stop.", "", "+15005550006", ""),
        ("yes", "", "+15005550006", "START"),
        ("JOIN", "START", "+15005550006", "START"),
        ("YES", "", "+18005550100", ""),
        ("JOIN", "START", "+18005550100", ""),
        ("Unstop", "", "+18005550100", "START"),
        ("STOP", "", "+18005550100", "STOP"),
    ],
)
def test_keywords_are_heard_as_by_twilio(body: str, opt_out_type: str, to: str, keyword: str) -> None:
    assert keyword_of(body, opt_out_type, to=to) == keyword
