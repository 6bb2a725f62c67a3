"""Keywords, and which of two pieces of evidence counts."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from smsapp.inbound.keywords import Keyword, keyword_of
from smsapp.suppressions.rules import OptOutEvidence, OptOutSource, overrides, recipient_key

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
STOP = OptOutEvidence("+14155552671", ["+15005550006"], True, OptOutSource.INBOUND, NOW)
START = replace(STOP, suppressed=False)


@pytest.mark.parametrize(
    ("body", "opt_out_type", "keyword"),
    [
        *(
            (word, None, Keyword.STOP)
            for word in ("STOP", "stop", " Stop\n", "STOPALL", "UNSUBSCRIBE", "CANCEL")
        ),
        *((word, None, Keyword.STOP) for word in ("END", "QUIT", "REVOKE", "OptOut")),
        *((word, None, Keyword.START) for word in ("START", "unstop", "Yes")),
        *((word, None, Keyword.HELP) for word in ("HELP", "info")),
        *((text, None, None) for text in ("", "please stop", "STOP.", "STOP IT", "OPT OUT", "hello")),
        pytest.param("ARRET", "STOP", Keyword.STOP, id="a word of the account's own"),
        pytest.param("STOP", "HELP", Keyword.HELP, id="what Twilio made of it wins"),
        pytest.param("stop", "SOMETHING", Keyword.STOP, id="a type that is new"),
    ],
)
def test_a_text_is_a_keyword_only_by_itself(
    body: str, opt_out_type: str | None, keyword: Keyword | None
) -> None:
    assert keyword_of(body, opt_out_type) is keyword


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("+14155552671", "+14155552671"),
        ("rcs:+14155552671", "+14155552671"),
        ("whatsapp:+14155552671", "whatsapp:+14155552671"),
        ("12345", "12345"),
        ("MG" + "2" * 32, "MG" + "2" * 32),
        ("", ""),
    ],
)
def test_an_address_has_one_form(address: str, key: str) -> None:
    assert recipient_key(address) == key


@pytest.mark.parametrize("span", [timedelta(microseconds=1), timedelta(days=9)])
def test_the_later_evidence_counts_whichever_comes_first(span: timedelta) -> None:
    assert overrides(START, suppressed=True, at=NOW - span)
    assert overrides(STOP, suppressed=False, at=NOW - span)
    assert not overrides(START, suppressed=True, at=NOW + span)
    assert not overrides(STOP, suppressed=False, at=NOW + span)


def test_at_the_same_moment_the_recipient_is_spared() -> None:
    assert overrides(STOP, suppressed=False, at=NOW)
    assert not overrides(START, suppressed=True, at=NOW)
    assert not overrides(STOP, suppressed=True, at=NOW)
