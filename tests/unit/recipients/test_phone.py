"""Phone numbers: what is taken, in which form it is stored, and what a log may show of it."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapp.recipients.phone import (
    ADDRESS,
    InvalidPhoneNumber,
    InvalidSender,
    Recipient,
    address,
    mask,
    parse_recipient,
    parse_sender,
)

SEPARATORS = ["", *" -.()/", *"\u00a0\u00ad\u200b\u2009\u202f\u2011\u2212\u3000\ufeff\u2060\uff0d"]
US = Recipient("+14155552671", "US", valid=True)


@pytest.mark.parametrize(
    "raw",
    [
        "+14155552671",
        "+1 415-555-2671",
        "+1 (415) 555.2671",
        "  +14155552671\n",
        "+1\u00a0415\u2011555\u20132671",  # pasted from a document
        "\ufeff+1\u200b415\u202f555\u20092671\u200e",  # what nobody sees
        "+1/415/555-2671",
        "+1 [415] 555~2671",
        "+1\u2212415\u00b7555\u20222671",
        "\uff0b\uff11\uff08\uff14\uff11\uff15\uff09\uff15\uff15\uff15\uff0d\uff12\uff16\uff17\uff11",  # fullwidth
        "+\u0661\u0664\u0661\u0665\u0665\u0665\u0665\u0662\u0666\u0667\u0661",  # Arabic-Indic digits
        "rcs:+14155552671",
    ],
)
def test_every_way_to_write_a_number_gives_one_form(raw: str) -> None:
    assert parse_recipient(raw) == US


@pytest.mark.parametrize(
    ("raw", "e164", "region"),
    [
        pytest.param("+44 (0) 7400 123456", "+447400123456", "GB", id="the trunk zero goes"),
        pytest.param("+39 06 1234 5678", "+390612345678", "IT", id="Italy's leading zero stays"),
        pytest.param("+33612345678", "+33612345678", "FR", id="France"),
        pytest.param("+49 171/1234567", "+491711234567", "DE", id="DIN 5008"),
        pytest.param(
            "+33\u202f6\u202f12\u202f34\u202f56\u202f78", "+33612345678", "FR", id="French typography"
        ),
        pytest.param("+81\u300090\u20101234\u20105678", "+819012345678", "JP", id="an ideographic space"),
        pytest.param("+5215512345678", "+525512345678", "MX", id="Mexico's former 1 goes"),
        pytest.param("+52 1 55 1234 5678", "+525512345678", "MX", id="however it is written"),
        pytest.param("whatsapp:+5215512345678", "whatsapp:+525512345678", "MX", id="and on WhatsApp"),
        pytest.param("+54 11 15 2345 6789", "+5491123456789", "AR", id="Argentina's 15 is a 9 abroad"),
        pytest.param("+2250708091011", "+2250708091011", "CI", id="ten digits in Ivory Coast"),
        pytest.param("+2290197123456", "+2290197123456", "BJ", id="ten digits in Benin"),
        pytest.param("+80012345678", "+80012345678", None, id="international freephone has no country"),
        pytest.param("+15005550006", "+15005550006", "US", id="Twilio's magic test number"),
        pytest.param("whatsapp:+14155552671", "whatsapp:+14155552671", "US", id="a channel prefix stays"),
        pytest.param(
            "whatsapp:+1 415 555 2671", "whatsapp:+14155552671", "US", id="behind it, too, one form"
        ),
    ],
)
def test_a_valid_number_is_stored_in_e164_with_its_region(raw: str, e164: str, region: str | None) -> None:
    assert parse_recipient(raw) == Recipient(e164, region, valid=True)


@pytest.mark.parametrize(("raw", "region"), [("+10000000000", None), ("+33099999999", "FR")])
def test_a_number_outside_the_numbering_plan_is_taken_but_not_valid(raw: str, region: str | None) -> None:
    assert parse_recipient(raw) == Recipient(raw, region, valid=False)


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "not_e164"),
        ("+", "not_e164"),
        ("4155552671", "not_e164"),
        ("0014155552671", "not_e164"),
        ("12345", "not_e164"),  # a short code only sends
        ("ACME", "not_e164"),
        ("tel:+14155552671", "not_e164"),
        ("+1 800 FLOWERS", "not_e164"),
        ("+14155552671 ext. 5", "not_e164"),
        ("+14155552671;+14155552672", "not_e164"),
        ("++14155552671", "not_e164"),
        ("+14155552671\n+14155552672", "not_e164"),
        ("+4930123\n45678", "not_e164"),  # two lines may be two numbers
        ("+1415\x005552671", "not_e164"),
        ("+1,4155552671", "not_e164"),
        ("+1415555267\u00bd", "not_e164"),
        ("rcs:whatsapp:+14155552671", "not_e164"),
        ("whatsapp:rcs:+14155552671", "not_e164"),
        ("whatsapp:4155552671", "not_e164"),
        ("whatsapp:whatsapp:+14155552671", "not_e164"),
        ("messenger:+14155552671", "not_e164"),
        ("+1", "too_short"),
        ("+1415", "too_short"),
        ("+12530000", "too_short"),  # a local number without its area code
        ("+14155552671234", "too_long"),
        ("+12345678901234567890", "too_long"),
        ("+999123456", "unknown_country_code"),
        ("+0123456789", "unknown_country_code"),
        ("+22507080910", "too_short"),  # P07: Ivory Coast has ten digits since 2021
        ("+22997123456", "too_short"),  # Benin since 2024
    ],
)
def test_an_impossible_number_is_refused_with_its_reason(raw: str, reason: str) -> None:
    with pytest.raises(InvalidPhoneNumber) as caught:
        parse_recipient(raw)

    assert caught.value.reason == reason
    assert raw == "" or raw not in str(caught.value)  # the message must not carry the number into a log


@given(st.lists(st.sampled_from(SEPARATORS), min_size=12, max_size=12))
def test_what_is_put_between_digits_changes_nothing_and_fits_the_documented_pattern(
    between: list[str],
) -> None:
    raw = "".join(a + b for a, b in zip(between, "+14155552671", strict=True))

    assert parse_recipient(raw) == US
    assert re.fullmatch(ADDRESS, raw)


@pytest.mark.parametrize(
    "raw",
    [
        "+14155552671",
        "whatsapp:+5215512345678",
        "whatsapp:+554188887777",
        "whatsapp:+5491123456789",
        "rcs:+525512345678",
    ],
)
def test_whoever_wrote_to_us_can_be_answered_at_that_address(raw: str) -> None:
    """Addresses as Twilio puts them into `From` of inbound texts."""
    assert parse_recipient(raw).e164.endswith(raw[-10:])


@given(st.text() | st.from_regex(r"\A\+[0-9]{0,18}\Z"))
@example("+820000000")
def test_any_input_is_parsed_or_refused_and_parsing_again_changes_nothing(raw: str) -> None:
    try:
        recipient = parse_recipient(raw)
    except InvalidPhoneNumber:
        return

    assert parse_recipient(recipient.e164) == recipient


@pytest.mark.parametrize(
    ("raw", "sender"),
    [
        ("+1 415-555-2671", "+14155552671"),
        ("+15005550006", "+15005550006"),
        ("whatsapp:+14155552671", "whatsapp:+14155552671"),
        ("123", "123"),
        ("12345678", "12345678"),
        ("ACME", "ACME"),
        (" A&B +1_2-3 ", "A&B +1_2-3"),
        ("12345678ABC", "12345678ABC"),
        ("MGM Resorts", "MGM Resorts"),  # P08
        ("89045", "89045"),
    ],
)
def test_a_sender_is_a_number_a_short_code_or_an_alphanumeric_id(raw: str, sender: str) -> None:
    assert parse_sender(raw) == sender


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("", "not_a_sender"),
        ("12", "not_a_sender"),
        ("123456789", "not_a_sender"),  # neither short code nor, without a plus, a number
        ("ACME GATEWAY", "not_a_sender"),  # twelve characters
        ("ACM\u00c9", "not_a_sender"),
        ("ACME!", "not_a_sender"),
        ("O'Reilly", "not_a_sender"),
        ("TwelveLetter", "not_a_sender"),
        ("- - -", "not_a_sender"),
        ("whatsapp:ACME", "not_a_sender"),
        ("+1415", "too_short"),
        ("+14155552671234", "too_long"),
        ("+999123456", "unknown_country_code"),
    ],
)
def test_anything_else_is_no_sender(raw: str, reason: str) -> None:
    with pytest.raises(InvalidSender) as caught:
        parse_sender(raw)

    assert caught.value.reason == reason


@pytest.mark.parametrize(
    ("number", "masked"),
    [
        ("+15005550006", "+1******0006"),
        ("+4915112345678", "+4********5678"),
        ("whatsapp:+15005550006", "whatsapp:+1******0006"),
        ("12345", "***45"),
        ("ACME", "**ME"),
        ("+123456789", "+*****6789"),
        ("1", "*"),
        ("", ""),
    ],
)
def test_a_masked_number_keeps_its_ends(number: str, masked: str) -> None:
    assert mask(number) == masked


@given(
    prefix=st.sampled_from(["", "whatsapp:"]),
    secret=st.text("+0123456789", max_size=20) | st.text(st.characters(exclude_characters="*")),
)
def test_a_mask_keeps_the_length_and_hides_at_least_half(prefix: str, secret: str) -> None:
    masked = mask(prefix + secret).removeprefix(prefix)

    assert len(masked) == len(secret)
    assert all(shown in ("*", original) for shown, original in zip(masked, secret, strict=True))
    assert 2 * masked.count("*") >= len(secret)


@pytest.mark.parametrize(
    ("to", "sender", "expected"),
    [
        ("+14155552671", "+15005550006", "+14155552671"),
        ("+14155552671", None, "+14155552671"),
        ("+14155552671", "whatsapp:+15005550006", "whatsapp:+14155552671"),
        ("whatsapp:+14155552671", "whatsapp:+15005550006", "whatsapp:+14155552671"),
        (
            "whatsapp:+14155552671",
            "+15005550006",
            "whatsapp:+14155552671",
        ),  # Twilio says what is wrong with it
    ],
)
def test_a_recipient_is_addressed_on_the_senders_channel(to: str, sender: str | None, expected: str) -> None:
    assert address(to, sender) == expected


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        ("+979123456789", "premium"),
        ("+449098790000", "premium"),
        ("+19005551234", "premium"),
        ("whatsapp:+449098790000", "premium"),
        ("+881612345678", "satellite"),
        ("+870773111632", "satellite"),
        ("+883510000000", "international"),
        ("+80012345678", "international"),
        ("+15550000000", "unassigned"),
        ("+14155552671", None),
        ("+447911123456", None),
        ("+18005551234", None),
        ("+525512345678", None),
    ],
)
def test_numbers_that_cost_much_or_reach_nobody_are_told_apart(number: str, kind: str | None) -> None:
    assert parse_recipient(number).kind == kind
