"""Creates are checked as Twilio checks them."""

import re
from datetime import UTC, datetime, timedelta

import pytest

from simulator.content import Form
from simulator.drafts import Draft, parse_draft
from simulator.errors import TwilioError
from simulator.segments import count_segments

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SERVICE = "MG" + "1" * 32
CONTENT = {"To": ["+15550100001"], "From": ["+15550109999"], "ContentSid": ["HX" + "1" * 32]}
VALID = {"To": ["+15550100001"], "From": ["+15550109999"], "Body": ["Hello"]}


def parse(form: Form, senders: tuple[str, ...] = ()) -> Draft:
    return parse_draft(form, senders, now=NOW, schedule_min=timedelta(minutes=15))


def code_of(form: Form, senders: tuple[str, ...] = ()) -> int:
    with pytest.raises(TwilioError) as refused:
        parse(form, senders)
    return refused.value.code


def without(*names: str) -> Form:
    return {name: values for name, values in VALID.items() if name not in names}


@pytest.mark.parametrize(
    ("form", "code"),
    [
        pytest.param(without("To"), 21604, id="no-recipient"),
        pytest.param(without("From"), 21603, id="no-sender"),
        pytest.param(without("Body"), 21602, id="no-content"),
        pytest.param(VALID | {"Body": [""]}, 21602, id="blank-body"),
        pytest.param(VALID | {"Body": ["x" * 1601]}, 21617, id="body-too-long"),
        pytest.param(VALID | {"MediaUrl": ["https://example.com/1.png"] * 11}, 21623, id="too-many-media"),
        pytest.param(VALID | {"ContentVariables": ["{}"]}, 21654, id="variables-without-content"),
        pytest.param(VALID | {"ContentSid": ["HX1"]}, 21655, id="malformed-content-sid"),
        pytest.param(CONTENT | {"ContentVariables": ["x"]}, 21656, id="variables-not-json"),
        pytest.param(CONTENT | {"ContentVariables": ["[]"]}, 21656, id="variables-no-object"),
        pytest.param(CONTENT | {"ContentVariables": ['{"1": null}']}, 21656, id="variable-null"),
        pytest.param(CONTENT | {"ContentVariables": ['{"1": ""}']}, 21656, id="variable-blank"),
        pytest.param(CONTENT | {"ContentVariables": ['{"1": "a\\nb"}']}, 21656, id="variable-of-two-lines"),
        pytest.param(
            CONTENT | {"ContentVariables": [f'{{"1": "{"x" * 1601}"}}']}, 21658, id="variable-too-long"
        ),
        pytest.param(VALID | {"RiskCheck": ["maybe"]}, 20001, id="unknown-risk-check"),
        pytest.param(VALID | {"SmartEncoded": ["yes"]}, 20001, id="no-boolean"),
        pytest.param(VALID | {"ShortenUrls": ["true"]}, 20001, id="short-links-without-service"),
        pytest.param(VALID | {"To": ["5550100001"]}, 21211, id="recipient-without-plus"),
        pytest.param(VALID | {"To": ["+0550100001"]}, 21211, id="recipient-without-country"),
        pytest.param(VALID | {"To": ["12345"]}, 21211, id="recipient-is-a-short-code"),
        pytest.param(VALID | {"To": VALID["From"]}, 21266, id="to-oneself"),
        pytest.param(VALID | {"From": ["+1 (555) 010"]}, 21212, id="malformed-sender"),
        pytest.param(VALID | {"MessagingServiceSid": ["MG12"]}, 21705, id="malformed-service"),
        pytest.param(VALID | {"ValidityPeriod": ["36001"]}, 21624, id="validity-too-long"),
        pytest.param(VALID | {"ValidityPeriod": ["soon"]}, 21624, id="validity-no-number"),
        pytest.param(VALID | {"StatusCallback": ["https://sms_app.example.com/"]}, 21609, id="underscore"),
        pytest.param(VALID | {"StatusCallback": ["/twilio/status"]}, 21609, id="relative-callback"),
        pytest.param(VALID | {"StatusCallback": ["ftp://example.com/"]}, 21609, id="not-http"),
        pytest.param(VALID | {"StatusCallback": ["https://example.com:x/"]}, 21609, id="malformed-port"),
        pytest.param(VALID | {"From": ["+15005550001"]}, 21212, id="magic-sender-invalid"),
        pytest.param(VALID | {"From": ["+15005550007"]}, 21606, id="magic-sender-not-owned"),
        pytest.param(VALID | {"From": ["+15005550008"]}, 21611, id="magic-sender-queue-full"),
        pytest.param(VALID | {"From": ["+15005550002"]}, 21606, id="any-other-magic-sender"),
        pytest.param(VALID | {"To": ["+15005550001"]}, 21211, id="magic-recipient-invalid"),
        pytest.param(VALID | {"To": ["+15005550002"]}, 21612, id="magic-recipient-no-route"),
        pytest.param(VALID | {"To": ["+15005550003"]}, 21408, id="magic-recipient-not-permitted"),
        pytest.param(VALID | {"To": ["+15005550004"]}, 21610, id="magic-recipient-opted-out"),
        pytest.param(VALID | {"To": ["+15005550009"]}, 21614, id="magic-recipient-no-mobile"),
    ],
)
def test_faulty_creates_get_twilios_codes(form: Form, code: int) -> None:
    assert code_of(form) == code


def test_only_the_accounts_own_senders_may_send() -> None:
    assert code_of(VALID, ("+15550107777",)) == 21606
    with pytest.raises(TwilioError, match=r"senders of this kind: \+15550107777, \+15550106666\."):
        parse(VALID, ("+15550107777", "ACME", "+15550106666"))
    assert parse(VALID, ("+15550107777", "+15550109999")).from_ == "+15550109999"


@pytest.mark.parametrize("senders", [(), ("+15550107777",)])
@pytest.mark.parametrize(
    "sender", ["12345", "ACME Shop", "+15005550006", "whatsapp:+15550107777", "rcs:+1555010777"]
)
def test_short_codes_names_channels_and_the_magic_number_may_send(
    sender: str, senders: tuple[str, ...]
) -> None:
    assert parse(VALID | {"From": [sender]}, senders).from_ == sender


@pytest.mark.parametrize(
    ("named", "other", "code"),
    [
        ("12345", "54321", 21606),
        ("ACME", "Shop", 21606),
        ("whatsapp:+15550107777", "whatsapp:+15550107778", 63007),
        ("rcs:+15550107777", "rcs:+15550107778", 63007),
    ],
)
def test_of_a_kind_that_is_named_only_what_is_named_may_send(named: str, other: str, code: int) -> None:
    senders = ("+15550109999", named)

    assert parse(VALID | {"From": [named]}, senders).from_ == named
    assert code_of(VALID | {"From": [other]}, senders) == code


@pytest.mark.parametrize(
    ("ahead", "code"),
    [(timedelta(minutes=14), 35114), (timedelta(days=36), 35114), (timedelta(hours=-1), 35114)],
)
def test_schedules_outside_the_window_are_refused(ahead: timedelta, code: int) -> None:
    assert code_of(scheduled((NOW + ahead).isoformat())) == code


def test_a_schedule_needs_a_type_and_a_time() -> None:
    assert code_of(scheduled("tomorrow")) == 35111
    assert code_of(scheduled("2026-03-01T13:00:00Z") | {"ScheduleType": [""]}) == 35126


def test_a_schedule_is_kept_with_a_service_and_ignored_without() -> None:
    form = scheduled("2026-03-01T13:00:00Z")

    assert parse(form).send_at == NOW + timedelta(hours=1)
    assert parse(VALID | {"SendAt": form["SendAt"], "ScheduleType": ["fixed"]}).send_at is None


def scheduled(send_at: str) -> Form:
    return VALID | {"MessagingServiceSid": [SERVICE], "ScheduleType": ["fixed"], "SendAt": [send_at]}


@pytest.mark.parametrize(
    ("body", "segments"),
    [
        ("", 1),
        ("x" * 160, 1),
        ("x" * 161, 2),
        ("x" * 1600, 11),
        ("€" * 80, 1),
        ("€" * 81, 2),
        ("ж" * 70, 1),
        ("ж" * 71, 2),
        ("ж" * 1600, 24),
        ("😀" * 36, 2),
    ],
)
def test_segments_are_counted_by_alphabet(body: str, segments: int) -> None:
    assert count_segments(body) == segments


def test_a_content_template_is_filled_in() -> None:
    draft = parse(CONTENT | {"ContentVariables": ['{"1": "Ann"}']})

    assert draft.body == "HX" + "1" * 32 + " Ann"


def test_smart_encoding_replaces_what_it_can_if_then_all_is_gsm_7() -> None:
    smart = {"SmartEncoded": ["True"]}

    assert parse(VALID | smart | {"Body": ["it\u2019s"]}).body == "it's"
    assert parse(VALID | smart | {"Body": ["it\u2019s \U0001f600"]}).body == "it\u2019s \U0001f600"
    assert parse(VALID | {"Body": ["it\u2019s"]}).body == "it\u2019s"


def test_links_become_short_with_a_service() -> None:
    body = ["see https://example.com/a/long/path?x=1 now"]
    draft = parse(VALID | {"Body": body, "ShortenUrls": ["true"], "MessagingServiceSid": [SERVICE]})

    assert re.fullmatch("see https://twil.io/[0-9a-f]{10} now", draft.body)


def test_media_and_send_as_mms_make_an_mms() -> None:
    assert parse(without("Body") | {"MediaUrl": ["https://example.com/1.png"]}).as_mms
    assert parse(VALID | {"SendAsMms": ["true"]}).as_mms
    assert not parse(VALID | {"SendAsMms": ["false"]}).as_mms
