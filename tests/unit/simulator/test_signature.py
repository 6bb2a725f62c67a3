"""The simulator's signatures: Twilio's published vectors, and agreement with Twilio's own validator."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twilio.request_validator import RequestValidator

from simulator.signature import sign, url_to_sign

CALL = {
    "CallSid": "CA1234567890ABCDE",
    "Digits": "1234",
    "From": "+14158675309",
    "To": "+18005551212",
    "Caller": "+14158675309",
}
CALL_PAIRS = tuple(CALL.items())
BASE = "mycompany.com/myapp.php?foo=1&bar=2"
BODY_SHA256 = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"
REPEATED = (
    ("Sid", "CA123"),
    ("SidAccount", "AC123"),
    ("Digits", "5678"),
    ("Digits", "1234"),
    ("Digits", "1234"),
)


@pytest.mark.parametrize(
    ("url", "params", "signature"),
    [
        pytest.param(f"https://{BASE}", CALL_PAIRS, "RSOYDt4T1cUTdK1PDd93/VVr8B8=", id="form"),
        pytest.param(
            "http://mycompany.com:1234/myapp.php?foo=1&bar=2",
            CALL_PAIRS,
            "Zmvh+3yNM1Phv2jhDCwEM3q5ebU=",
            id="explicit-port",
        ),
        pytest.param(f"https://{BASE}", REPEATED, "IK+Dwps556ElfBT0I3Rgjkr1wJU=", id="repeated-names"),
        pytest.param(
            f"https://{BASE}&bodySHA256={BODY_SHA256}", (), "a9nBmqA0ju/hNViExpshrM61xv4=", id="json"
        ),
        pytest.param(
            "https://example.com/myapp.php?foo=1&bar=2",
            tuple((CALL | {"Caller": "+14158675310", "From": "+14158675310"}).items()),
            "L/OH5YylLD5NRKLltdqwSvS0BnU=",
            id="worked-example-of-the-documentation",
        ),
    ],
)
def test_published_vectors_are_reproduced(
    url: str, params: tuple[tuple[str, str], ...], signature: str
) -> None:
    assert sign("12345", url, params) == signature


@given(
    token=st.text("0123456789abcdef", min_size=32, max_size=32),
    path=st.text("abcXYZ019/-_.~%", max_size=20),
    query=st.text("abcXYZ019/-_.~%?&=+", max_size=20),
    params=st.dictionaries(st.text(min_size=1, max_size=12), st.text(max_size=20), max_size=8),
)
def test_twilios_own_validator_accepts_every_signature(
    token: str, path: str, query: str, params: dict[str, str]
) -> None:
    url = f"https://sms.example.com/{path}?q={query}"

    assert RequestValidator(token).validate(url, params, sign(token, url, params.items()))


def test_fragment_and_userinfo_are_not_signed_but_the_port_is() -> None:
    url = "https://user:secret@sms.example.com:8443/twilio/status/1?x=%2F#rc=2&rp=all"

    assert url_to_sign(url) == "https://sms.example.com:8443/twilio/status/1?x=%2F"
