"""One phone, several spellings: three countries changed how mobile numbers are written, and not everybody noticed.

Twilio puts the former spelling into `From` of people on WhatsApp, address books keep what they once got, and a STOP
under one spelling is meant for the phone. What is sent to Twilio is the number as it was given (Mexico's in its current
form, see `smsapp.recipients.phone`); what is compared is the identity.
"""

import re

from smsapp.recipients.phone import InvalidPhoneNumber, parse_recipient, split_address

_CURRENT = (
    # Mexico: mobile numbers had a 1 after the country code until 2019.
    (re.compile(r"\A\+521([0-9]{10})\Z"), r"+52\1"),
    # Brazil: mobile numbers had eight digits until 2016, when a 9 went before them; WhatsApp keeps the eight where an
    # account is older (https://github.com/chatwoot/chatwoot/issues/14048). Fixed lines begin with 2 to 5, and still
    # have eight.
    (re.compile(r"\A\+55([0-9]{2})([6-9][0-9]{7})\Z"), r"+55\g<1>9\2"),
    # Argentina: mobile numbers have a 9 after the country code when they are called from abroad, and often none in SMS.
    # No fixed line has a mobile phone's number.
    (re.compile(r"\A\+54([1-8][0-9]{9})\Z"), r"+549\1"),
)
"""Former spellings, and what they are now."""


def identity(address: str) -> str:
    """Return the one spelling by which the phone at an address is known, on the channel that the address names.

    Takes E.164 numbers, with `whatsapp:` or without; anything else is its own identity.
    """
    channel, number = split_address(address)
    for former, current in _CURRENT:
        number = former.sub(current, number)
    return channel + number


def spellings(address: str) -> tuple[str, ...]:
    """Return every spelling under which the phone at an address may be stored, the identity first.

    Takes an address as a person may write it; one that is no phone's is its only spelling.
    """
    try:
        known = identity(parse_recipient(address).e164)
    except InvalidPhoneNumber:
        return (address,)
    channel, number = split_address(known)
    others = ("+521" + number[3:], number[:5] + number[6:], "+54" + number[4:])
    return (known, *(channel + other for other in others if other != number and identity(other) == number))
