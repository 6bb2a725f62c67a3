"""What would have made a refused callback pass: what a proxy changed is found, and nothing is found in forgeries."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.signature import sign
from smsapp.twilio.diagnose import SeenRequest, SignedAddress, find_signed_address

BASE = "https://sms.example.test"
TARGET = "/twilio/status/msg_018f0000000070008000000000000001"
FORM = [("MessageSid", "SM" + "1" * 32), ("MessageStatus", "delivered"), ("To", "+14155552671")]
TOKENS = ("new-token", "old-token")


def found(
    signed: str, seen: SeenRequest, *, base_url: str = BASE, token: str = TOKENS[1]
) -> SignedAddress | None:
    signature = sign(token, signed, FORM)
    return find_signed_address(seen, FORM, signature, base_url=base_url, tokens=TOKENS)


@pytest.mark.parametrize(
    ("signed", "seen", "differs"),
    [
        pytest.param(f"http://sms.example.test{TARGET}", SeenRequest(TARGET), ("scheme",), id="scheme"),
        pytest.param(
            f"https://other.example{TARGET}", SeenRequest(TARGET, "other.example"), ("host",), id="host"
        ),
        pytest.param(
            f"https://other.example{TARGET}",
            SeenRequest(TARGET, "10.0.0.7:8000", forwarded_host="other.example"),
            ("host",),
            id="host behind a proxy",
        ),
        pytest.param(
            f"https://sms.example.test:443{TARGET}", SeenRequest(TARGET), ("port",), id="default port"
        ),
        pytest.param(
            f"https://sms.example.test:8443{TARGET}",
            SeenRequest(TARGET, "sms.example.test:8443"),
            ("port",),
            id="port",
        ),
        pytest.param(
            f"{BASE}/sms{TARGET}", SeenRequest(TARGET, forwarded_prefix="/sms"), ("path",), id="prefix"
        ),
        pytest.param(f"{BASE}{TARGET}/", SeenRequest(TARGET), ("path",), id="a slash at the end"),
        pytest.param(f"{BASE}{TARGET}", SeenRequest(f"{TARGET}?x=1"), ("query",), id="an added query"),
        pytest.param(
            f"{BASE}{TARGET}", SeenRequest(TARGET.replace("msg_", "msg%5F")), ("path",), id="an escaped path"
        ),
        pytest.param(
            f"http://other.example:8080{TARGET}",
            SeenRequest(TARGET, "other.example:8080"),
            ("scheme", "host", "port"),
            id="everything",
        ),
    ],
)
def test_what_was_changed_is_found(signed: str, seen: SeenRequest, differs: tuple[str, ...]) -> None:
    assert found(signed, seen) == SignedAddress(signed, differs)


def test_a_base_url_with_a_prefix_that_twilio_does_not_call_is_found() -> None:
    address = found(f"{BASE}{TARGET}", SeenRequest(TARGET), base_url=f"{BASE}/prefix")

    assert address == SignedAddress(f"{BASE}{TARGET}", ("path",))


def test_another_token_is_not_guessed() -> None:
    assert found(f"http://sms.example.test{TARGET}", SeenRequest(TARGET), token="another") is None


@given(
    raw_target=st.text(max_size=40),
    host=st.text(max_size=40),
    prefix=st.text(max_size=20),
    port=st.text(max_size=8),
)
def test_whatever_a_stranger_sends_is_looked_at_without_an_error(
    raw_target: str, host: str, prefix: str, port: str
) -> None:
    seen = SeenRequest(raw_target, host, "https", host, port, prefix)

    assert find_signed_address(seen, FORM, "x" * 28, base_url=BASE, tokens=TOKENS) is None


def test_the_dearest_look_takes_less_than_50_ms() -> None:
    form = [(f"Parameter{number}", "x" * 80) for number in range(90)]
    seen = SeenRequest("/a%20b" + TARGET, "h:81", "http", "g:82", "83", "/p")

    took = []
    for _ in range(3):
        began = time.process_time()
        find_signed_address(seen, form, "x" * 28, base_url=BASE + "/q", tokens=TOKENS)
        took.append(time.process_time() - began)

    assert min(took) < 0.05
