"""Reading what Twilio posts: nothing that it may add, omit or garble stops a callback from being kept."""

import json
from datetime import UTC, datetime
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.callbacks.rules import InvalidCallbackError, inbound_from, report_from
from smsapp.ids import public_id
from smsapp.messages.fold import Report, Source

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
ID = uuid4()
RECEIPT = uuid4()
SID = "SM" + "1" * 32


def read(body: str, *, target: str | None = None, token: str | None = None) -> tuple[UUID | None, Report]:
    return report_from(body, target=target, receipt_id=RECEIPT, received_at=NOW, idempotency_token=token)


def form(**parameters: str) -> str:
    return urlencode({"MessageSid": SID, "MessageStatus": "sent"} | parameters)


def test_a_callback_says_what_became_of_which_attempt() -> None:
    message_id, report = read(
        form(MessageStatus="undelivered", ErrorCode="30003", RawDlrDoneDate="2601312359"),
        target=f"{public_id(ID)}-2",
    )

    assert message_id == ID
    assert report == Report(
        source=Source.CALLBACK,
        raw_status="undelivered",
        received_at=NOW,
        receipt_id=RECEIPT,
        attempt=2,
        twilio_sid=SID,
        error_code=30003,
        payload={
            "MessageSid": SID,
            "MessageStatus": "undelivered",
            "ErrorCode": "30003",
            "RawDlrDoneDate": "2601312359",
        },
        done_date="2601312359",
    )


def test_a_callback_names_the_sender_that_a_messaging_service_chose() -> None:
    assert read(form(From="+15005550011"))[1].sender == "+15005550011"
    assert read(form(From="x" * 100))[1].sender == "x" * 64
    assert [read(given)[1].sender for given in (form(), form(From=""))] == [None, None]


@pytest.mark.parametrize("target", [None, "", "nonsense", "SM" + "1" * 32])
def test_without_a_message_in_the_path_only_the_sid_tells(target: str | None) -> None:
    message_id, report = read(form(), target=target)

    assert (message_id, report.attempt, report.twilio_sid) == (None, None, SID)


def test_the_legacy_status_serves_where_the_present_one_is_missing() -> None:
    assert read("SmsStatus=sent&SmsSid=" + SID)[1].raw_status == "sent"
    assert read("SmsStatus=sent&SmsSid=" + SID)[1].twilio_sid == SID
    assert read("MessageStatus=delivered&SmsStatus=sent")[1].raw_status == "delivered"


@pytest.mark.parametrize("body", ["", "MessageSid=" + SID, "MessageStatus=", "garbage", "\x00"])
def test_a_callback_without_a_status_is_none(body: str) -> None:
    with pytest.raises(InvalidCallbackError):
        read(body)


def test_unknown_and_empty_parameters_are_kept_as_they_came() -> None:
    _, report = read(form(SomeFutureParam="x y+z", EmptyParam=""))

    assert report.payload is not None
    assert (report.payload["SomeFutureParam"], report.payload["EmptyParam"]) == ("x y+z", "")


def test_the_idempotency_token_is_kept_with_the_parameters() -> None:
    _, report = read(form(), token="7f3c")

    assert report.payload is not None
    assert report.payload["I-Twilio-Idempotency-Token"] == "7f3c"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("30003", 30003),
        ("0", 0),
        ("", None),
        ("null", None),
        ("-1", None),
        ("30003 ", None),
        ("٣٠٠٠٣", None),  # digits to Python, not to Twilio
        ("9" * 12, None),  # beyond what a column holds
    ],
)
def test_an_error_code_is_a_number_or_absent(text: str, code: int | None) -> None:
    assert read(form(MessageStatus="failed", ErrorCode=text))[1].error_code == code


@pytest.mark.parametrize("sid", ["", "SM123", "SM" + "x" * 32, "SM" + "1" * 33, "sm" + "1" * 32])
def test_what_is_no_sid_is_not_taken_for_one(sid: str) -> None:
    _, report = read(form(MessageSid=sid))

    assert report.twilio_sid is None
    assert report.payload is not None
    assert report.payload["MessageSid"] == sid


@pytest.mark.parametrize("body", ["Odd=a%00b", "Od%00d=ab", "Odd=a%00b&Od%00d=ab"])
def test_no_database_can_be_broken_by_a_nul(body: str) -> None:
    _, report = read(f"MessageStatus=sent&{body}")

    assert "\\u0000" not in json.dumps(report.payload)


@given(
    parameters=st.dictionaries(st.text(max_size=20), st.text(max_size=40), max_size=8),
    raw_status=st.text(min_size=1),
)
def test_every_form_with_a_status_is_a_report(parameters: dict[str, str], raw_status: str) -> None:
    names_of_statuses = {"MessageStatus", "SmsStatus"}
    body = urlencode(
        {k: v for k, v in parameters.items() if k not in names_of_statuses} | {"MessageStatus": raw_status}
    )

    _, report = read(body)

    assert report.raw_status == raw_status.replace("\x00", "\ufffd")
    assert "\\u0000" not in json.dumps(report.payload)


@given(st.text())
def test_no_body_is_too_odd_to_read_or_to_refuse(body: str) -> None:
    try:
        _, report = read(body)
    except (InvalidCallbackError, ValueError):
        return

    assert report.raw_status


INBOUND = {"MessageSid": SID, "From": "+14155552671", "To": "+15005550006", "Body": "STOP"}


def test_an_inbound_text_is_read() -> None:
    inbound = inbound_from(
        urlencode(INBOUND | {"OptOutType": "STOP", "MessagingServiceSid": "MG" + "2" * 32})
    )

    assert (inbound.twilio_sid, inbound.sender, inbound.to) == (SID, "+14155552671", "+15005550006")
    assert (inbound.body, inbound.opt_out_type) == ("STOP", "STOP")
    assert inbound.messaging_service_sid == "MG" + "2" * 32


def test_an_inbound_text_may_be_empty() -> None:
    inbound = inbound_from(urlencode(INBOUND | {"Body": "", "NumMedia": "1"}))

    assert (inbound.body, inbound.opt_out_type, inbound.messaging_service_sid) == ("", None, None)
    assert inbound.payload["NumMedia"] == "1"


@pytest.mark.parametrize("sender", ["68849", "SUPPORT"])
def test_an_inbound_text_may_come_from_what_is_no_phone(sender: str) -> None:  # P09
    assert inbound_from(urlencode(INBOUND | {"From": sender})).sender == sender


@pytest.mark.parametrize("missing", ["MessageSid", "From"])
def test_an_inbound_text_has_a_sid_and_a_sender(missing: str) -> None:
    with pytest.raises(InvalidCallbackError):
        inbound_from(urlencode({name: value for name, value in INBOUND.items() if name != missing}))


def test_overlong_fields_of_an_inbound_text_fit_their_columns() -> None:
    inbound = inbound_from(urlencode(INBOUND | {"From": "9" * 99, "To": "9" * 99, "OptOutType": "S" * 99}))

    assert (len(inbound.sender), len(inbound.to), inbound.opt_out_type) == (64, 64, "S" * 8)


PERSON = {"To": "+14155552671", "Body": "Your code is 918273", "ToCity": "NOVATO", "ToCountry": "US"}


def test_of_a_status_callback_neither_the_recipient_nor_the_text_is_kept() -> None:
    added = {"ChannelToAddress": "+1415XXX2671", "Odd": "for 14155552671", "From": "+15005550006"}

    _, report = read(form(**PERSON, **added))

    payload = report.payload or {}
    assert (payload["From"], payload["ToCountry"], payload["MessageSid"]) == ("+15005550006", "US", SID)
    assert not {"To", "Body", "ToCity", "ChannelToAddress", "Odd"} & payload.keys()


def test_of_an_inbound_text_neither_the_person_nor_the_text_is_kept_twice() -> None:
    media = {"NumMedia": "1", "MediaUrl0": "https://api.twilio.com/x"}
    body = urlencode(INBOUND | media | {"WaId": "14155552671", "ProfileName": "Anna", "FromZip": "94941"})

    assert inbound_from(body).payload == {"MessageSid": SID, **media}


def test_a_callback_without_a_recipient_keeps_its_empty_parameters() -> None:
    assert read("MessageStatus=sent&Empty=")[1].payload == {"MessageStatus": "sent", "Empty": ""}
