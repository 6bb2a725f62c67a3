"""What a message consists of: what goes together, how it is counted, and what is left when it is removed."""

from typing import Any

import pytest

from smsapp.content.rules import (
    CONTENT_VARIABLES,
    NO_OPTIONS,
    OPTION_NAMES,
    compose,
    conflict,
    is_missing,
    is_removed,
    removed,
    route_fault,
    shown_options,
    smart_encode,
    value_fault,
)
from smsapp.content.segments import Encoding, measure
from smsapp.twilio.smart_encoding import SMART_ENCODING

SERVICE = "MG" + "1" * 32
SID = "HX" + "1" * 32
MEDIA = ["https://example.com/a.png"]
NOTHING: dict[str, Any] = {"template": None, "content_sid": None, "media_urls": None}


@pytest.mark.parametrize(
    ("body", "sent"),
    [
        ("\u201cHi\u201d \u2013 it\u2019s \u00bd\u2026", '"Hi" - it\'s 1/2...'),
        ("a\u00a0b\u200bc", "a bc"),
        ("\uff28\u1d07\u029f\u029f\u1d0f", "HELLO"),
        ("\u00e9\u00e0 \u20ac5", "\u00e9\u00e0 \u20ac5"),
        ("it\u2019s \U0001f600", "it\u2019s \U0001f600"),
        ("it\u2019s \uc548\ub155", "it\u2019s \uc548\ub155"),
        ("plain", "plain"),
    ],
)
def test_smart_encoding_replaces_all_or_nothing(body: str, sent: str) -> None:
    assert smart_encode(body) == sent


def test_every_replacement_is_in_gsm_7() -> None:
    assert len(SMART_ENCODING) > 250
    for code, plain in SMART_ENCODING.items():
        assert measure(plain.replace("\t", "")).encoding is Encoding.GSM_7, f"U+{code:04X}"


def test_segments_are_counted_as_twilio_will_encode_them() -> None:
    body = "it\u2019s " * 30

    assert (compose(body).measure.encoding, compose(body).measure.segments) == (Encoding.UCS_2, 3)
    smart = compose(body, options={"smart_encoded": True})
    assert (smart.body, smart.measure.encoding, smart.measure.segments) == (body, Encoding.GSM_7, 1)
    assert compose(body, options={"smart_encoded": False}).measure == compose(body).measure


@pytest.mark.parametrize(
    ("media", "options"), [(MEDIA, None), (None, {"send_as_mms": True}), (MEDIA, {"send_as_mms": False})]
)
def test_an_mms_is_one_however_long_its_text(media: list[str] | None, options: dict[str, Any] | None) -> None:
    counted = compose("x" * 1000, media, options).measure

    assert (counted.segments, counted.remaining) == (1, 600)


def test_a_content_template_counts_as_one_segment() -> None:
    assert compose("", options={"content_sid": SID}).measure.segments == 1


@pytest.mark.parametrize(
    ("field", "given", "conflicts"),
    [
        ("body", NOTHING, False),
        ("body", NOTHING | {"media_urls": MEDIA}, False),
        ("body", NOTHING | {"template": "t"}, True),
        ("body", NOTHING | {"content_sid": SID}, True),
        ("media_urls", NOTHING, False),
        ("media_urls", NOTHING | {"template": "t"}, False),
        ("media_urls", NOTHING | {"content_sid": SID}, True),
        ("content_sid", NOTHING | {"template": "t"}, True),
        ("content_variables", NOTHING | {"content_sid": SID}, False),
        ("content_variables", NOTHING, True),
        ("content_variables", {}, False),  # the SID itself is faulty, which is told
        ("template_version", NOTHING, True),
        ("values", NOTHING, True),
        ("values", NOTHING | {"template": "t"}, False),
        ("smart_encoded", NOTHING, False),
    ],
)
def test_what_may_stand_together(field: str, given: dict[str, Any], conflicts: bool) -> None:
    assert (conflict(field, given) is not None) is conflicts


@pytest.mark.parametrize(
    ("given", "missing"),
    [
        (NOTHING, True),
        (NOTHING | {"media_urls": MEDIA}, False),
        (NOTHING | {"template": "t"}, False),
        (NOTHING | {"content_sid": SID}, False),
        ({"template": None, "content_sid": None}, False),  # the media are faulty, which is told
    ],
)
def test_something_must_be_sent(given: dict[str, Any], missing: bool) -> None:
    assert is_missing(given) is missing


@pytest.mark.parametrize("value", ["", " ", "\u200b", "a\nb", "a\rb", "a\tb", "a     b", "x" * 1601])
def test_values_that_twilio_refuses_are_refused(value: str) -> None:
    assert value_fault(value)


@pytest.mark.parametrize("value", ["Ann", "people's", "a    b", "x" * 1600, "{{1}}"])
def test_values_that_twilio_takes_are_taken(value: str) -> None:
    assert value_fault(value) is None


@pytest.mark.parametrize(
    ("options", "sender", "service", "to", "field"),
    [
        (None, None, None, "+14155552671", None),
        ({"shorten_urls": True}, "+15005550006", None, "+14155552671", "shorten_urls"),
        ({"shorten_urls": True}, None, SERVICE, "+14155552671", None),
        ({"shorten_urls": True}, "+15005550006", SERVICE, "+14155552671", None),
        ({"shorten_urls": False}, "+15005550006", None, "+14155552671", None),
        ({"send_as_mms": True}, "+15005550006", None, "whatsapp:+14155552671", "send_as_mms"),
        ({"send_as_mms": True}, "whatsapp:+15005550006", None, "+14155552671", "send_as_mms"),
        ({"send_as_mms": True}, "+15005550006", None, "+14155552671", None),
    ],
)
def test_what_a_sender_cannot_do_is_named(
    options: dict[str, Any] | None, sender: str | None, service: str | None, to: str, field: str | None
) -> None:
    fault = route_fault(options, sender, service, to)

    assert (fault.field if fault else None) == field


@pytest.mark.parametrize(
    ("body", "media", "options"),
    [
        ("hello", None, None),
        ("hello", MEDIA, None),
        ("", MEDIA, None),
        ("hello", None, {"smart_encoded": True}),
        ("", None, {"content_sid": SID}),
        ("", None, {"content_sid": SID, CONTENT_VARIABLES: {"1": "Ann"}}),
    ],
)
def test_what_was_removed_is_known_to_be(
    body: str, media: list[str] | None, options: dict[str, Any] | None
) -> None:
    assert not is_removed(body, media, options)

    left = removed(media, options)

    assert is_removed("", media, left)
    assert "Ann" not in repr(left)


def test_an_empty_body_alone_was_removed() -> None:
    assert is_removed("", None, None)
    assert is_removed("", None, {"smart_encoded": True})


def test_options_are_shown_but_variables_of_a_sensitive_message() -> None:
    options = {"content_sid": SID, CONTENT_VARIABLES: {"1": "Ann"}}

    assert shown_options(None, sensitive=False) == NO_OPTIONS
    assert shown_options(options, sensitive=False) == {**NO_OPTIONS, **options}
    assert shown_options(options, sensitive=True) == {**NO_OPTIONS, "content_sid": SID}
    assert set(shown_options(removed(None, options), sensitive=True)) == set(OPTION_NAMES)
