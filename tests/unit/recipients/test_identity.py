"""One phone, several spellings."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.recipients.identity import identity, spellings
from smsapp.recipients.phone import InvalidPhoneNumber, parse_recipient

SPELLED = [
    ("+525512345678", "+5215512345678"),
    ("+5541988887777", "+554188887777"),
    ("+5491123456789", "+541123456789"),
    ("+5493511234567", "+543511234567"),
]


@pytest.mark.parametrize(("known", "former"), SPELLED)
@pytest.mark.parametrize("channel", ["", "whatsapp:"])
def test_each_spelling_of_a_phone_has_one_identity(channel: str, known: str, former: str) -> None:
    assert identity(channel + known) == identity(channel + former) == channel + known
    assert (
        set(spellings(channel + known))
        == set(spellings(channel + former))
        == {channel + known, channel + former}
    )
    assert spellings(channel + former)[0] == channel + known


@pytest.mark.parametrize(
    "address",
    [
        "+14155552671",
        "+554133334444",  # a fixed line in Curitiba
        "+5511987654321",
        "+52155123456",  # too short to have a former 1
        "+5411152345678",
        "68849",
        "ACME",
        "",
        "whatsapp:+14155552671",
    ],
)
def test_any_other_address_is_its_own_identity(address: str) -> None:
    assert identity(address) == address


def test_an_address_is_taken_as_people_write_it() -> None:
    assert spellings("+52 1 55 1234-5678") == ("+525512345678", "+5215512345678")
    assert spellings("somebody") == ("somebody",)


@given(st.from_regex(r"\A(whatsapp:)?\+(1|49|52|54|55)[0-9]{7,12}\Z"))
def test_an_identity_is_its_own_and_so_of_all_its_spellings(address: str) -> None:
    assert identity(identity(address)) == identity(address)
    try:
        e164 = parse_recipient(address).e164
    except InvalidPhoneNumber:
        return
    assert e164 in spellings(address)
    assert {identity(spelling) for spelling in spellings(address)} == {identity(e164)}
