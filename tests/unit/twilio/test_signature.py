"""Who may change a message's status: our check, held to Twilio's vectors and to Twilio's own validator.

Not here, on purpose: JSON bodies (`bodySHA256`) and SharedKey signatures (HMAC-SHA256). Twilio posts message callbacks
as forms, so the addresses take nothing else (415), and a `bodySHA256` in a form's query is one more signed character
of the URL. A SharedKey has its own secret, which smsapp is not given; the header that announces it is not signed
itself, so it must never choose the algorithm that a request is checked with.
"""

import base64
import hmac
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlparse

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import MultiDict
from twilio.request_validator import HMAC_SHA256, RequestValidator

from simulator.signature import sign
from smsapp.twilio.forms import Form, parse_form
from smsapp.twilio.signature import SignatureVerifier
from tests.support.vectors import CALLBACK_SAMPLES, VECTORS, pairs, split_url

FORMS = [vector for vector in VECTORS if vector["kind"] != "json" and "algorithm" not in vector]
JSON = [vector for vector in VECTORS if vector["kind"] == "json"]
SHARED_KEY = [vector for vector in VECTORS if "algorithm" in vector]

TOKEN = "12345"
BASE = "https://sms.example.test"
TEXT = st.text(st.characters(codec="utf-8"), max_size=12)
FORM = st.lists(
    st.tuples(TEXT, TEXT) | st.tuples(st.sampled_from("ab"), st.sampled_from(["", "1", "2"])), max_size=8
)
TARGET = st.text("abcXYZ019/-_.~%?&=+;:@!$'()*,", max_size=40).map(lambda rest: f"/{rest}")


def official(url: str, form: Form, signature: str, token: str = TOKEN) -> bool:
    return bool(RequestValidator(token).validate(url, MultiDict(form), signature))


@pytest.mark.parametrize("vector", FORMS, ids=lambda vector: vector["id"])
def test_a_published_vector_is_judged_as_published(vector: dict[str, Any]) -> None:
    base, target = split_url(vector["url"])
    form = pairs(vector["params"])

    ours = SignatureVerifier(base, [vector["token"]]).verify(target, form, vector["signature"])

    assert ours is vector["valid"]
    assert official(vector["url"], form, vector["signature"], vector["token"]) is vector["valid"]


@pytest.mark.parametrize("sample", CALLBACK_SAMPLES, ids=lambda sample: sample["name"])
def test_a_sample_callback_is_accepted(sample: dict[str, Any]) -> None:
    base, target = split_url(sample["url"])

    assert SignatureVerifier(base, [sample["token"]]).verify(
        target, pairs(sample["params"]), sample["signature"]
    )


@pytest.mark.parametrize("vector", JSON, ids=lambda vector: vector["id"])
def test_a_json_signature_does_not_open_the_door_to_a_form(vector: dict[str, Any]) -> None:
    base, target = split_url(vector["url"])

    assert not SignatureVerifier(base, [vector["token"]]).verify(
        target, [("MessageStatus", "delivered")], vector["signature"]
    )


@pytest.mark.parametrize("vector", SHARED_KEY, ids=lambda vector: vector["id"])
def test_a_shared_keys_signature_is_none_of_ours_even_with_the_auth_tokens_text(
    vector: dict[str, Any],
) -> None:
    base, target = split_url(vector["url"])
    form = pairs(vector["params"])

    assert RequestValidator(vector["token"]).validate(
        vector["url"], MultiDict(form), vector["signature"], HMAC_SHA256
    )
    assert not SignatureVerifier(base, [vector["token"]]).verify(target, form, vector["signature"])


@given(target=TARGET, form=FORM)
@example(target="/twilio/status/1?a=%2F&b=+", form=[("Digits", "2"), ("Digits", "1"), ("Digits", "1")])
@example(target="/twilio/status", form=[("To", "+1 415"), ("", ""), ("ä", "😀%")])
@example(target="/;", form=[("a", "1"), ("a", "2")])
def test_what_twilio_signs_is_accepted(target: str, form: Form) -> None:
    signature = sign(TOKEN, BASE + target, form)

    assert SignatureVerifier(BASE, ["another", TOKEN]).verify(target, form, signature)


@given(target=TARGET, form=FORM, port=st.sampled_from(["", ":443", ":8443"]))
def test_what_the_official_validator_accepts_is_accepted(target: str, form: Form, port: str) -> None:
    base = BASE + port
    signature = RequestValidator(TOKEN).compute_signature(urlparse(BASE + target).geturl(), MultiDict(form))

    assert SignatureVerifier(base, [TOKEN]).verify(target, form, signature) is official(
        base + target, form, signature
    )


@given(
    target=TARGET,
    form=FORM,
    other_target=st.none() | TARGET,
    other_form=st.none() | FORM,
    token=st.sampled_from([TOKEN, "another"]),
)
def test_nothing_else_is_accepted(
    target: str, form: Form, other_target: str | None, other_form: Form | None, token: str
) -> None:
    """The one thing we take and the validator does not is the URL exactly as requested, where it tidies it up."""
    signed_target = target if other_target is None else other_target
    signature = sign(token, BASE + signed_target, form if other_form is None else other_form)

    accepted = SignatureVerifier(BASE, [TOKEN]).verify(target, form, signature)

    exact = signature == sign(TOKEN, BASE + target, form)
    assert accepted is (exact or official(BASE + target, form, signature))


@given(form=FORM.filter(bool), data=st.data())
def test_a_form_changed_anywhere_is_refused(form: Form, data: st.DataObject) -> None:
    signature = sign(TOKEN, f"{BASE}/twilio/status", form)
    at = data.draw(st.integers(0, len(form) - 1))
    changed = [*form[:at], (form[at][0], form[at][1] + "0"), *form[at + 1 :]]

    assert not SignatureVerifier(BASE, [TOKEN]).verify("/twilio/status", changed, signature)


@pytest.mark.parametrize("signature", ["", "=", "ä", "\x00", "A" * 10_000, "RSOYDt4T1cUTdK1PDd93/VVr8B8= "])
def test_nonsense_is_refused_without_a_fuss(signature: str) -> None:
    verifier = SignatureVerifier("https://mycompany.com", [TOKEN])

    assert not verifier.verify("/myapp.php?foo=1&bar=2", pairs(FORMS[0]["params"]), signature)


@pytest.mark.parametrize(
    "base",
    ["https://user:secret@sms.example.test", "https://sms.example.test#part"],
    ids=["userinfo", "fragment"],
)
def test_what_twilio_leaves_out_of_the_address_is_not_signed(base: str) -> None:
    form = [("MessageStatus", "sent")]

    assert SignatureVerifier(base, [TOKEN]).verify("/x", form, sign(TOKEN, f"{BASE}/x", form))


def test_an_address_of_numbers_and_a_port_is_no_obstacle() -> None:
    form = [("MessageStatus", "sent")]

    assert SignatureVerifier("http://[::1]:8000", [TOKEN]).verify(
        "/x", form, sign(TOKEN, "http://[::1]:8000/x", form)
    )


def by_code_units(url: str, form: Form, token: str = TOKEN) -> str:
    """Sign as Twilio's Node library does: names and the values of one name sorted by UTF-16 code units, each once."""

    def code_units(text: str) -> bytes:
        return text.encode("utf-16-be")

    values: dict[str, set[str]] = {}
    for name, value in form:
        values.setdefault(name, set()).add(value)
    text = url + "".join(
        name + value
        for name in sorted(values, key=code_units)
        for value in sorted(values[name], key=code_units)
    )
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), "sha1")).decode()


ASTRAL = st.text("\uff01\ue000\U0001f600\U00010000az", max_size=3)


@given(target=TARGET, form=st.lists(st.tuples(ASTRAL, ASTRAL), max_size=8))
@example(target="/x", form=[("Body", "\U0001f600"), ("Body", "\uff01")])
@example(target="/x", form=[("\U0001f600", "1"), ("\uff01", "2")])
@example(target="/x", form=[("\U0001f600", "\uff01"), ("\uff01", "\U0001f600"), ("\U0001f600", "\U0001f600")])
def test_the_orders_of_all_of_twilios_libraries_are_accepted(target: str, form: Form) -> None:
    verifier = SignatureVerifier(BASE, ["another", TOKEN])

    for signature in (by_code_units(BASE + target, form), sign(TOKEN, BASE + target, form)):
        assert verifier.verify(target, form, signature)
        assert not verifier.verify(target, [*form, ("z", "\U0001f600z")], signature)


def test_the_port_may_be_signed_or_not_in_either_order() -> None:
    form = [("Body", "\U0001f600"), ("Body", "\uff01")]
    signature = by_code_units(f"{BASE}/x", form)

    assert SignatureVerifier(f"{BASE}:8443", [TOKEN]).verify("/x", form, signature)


def test_every_token_of_a_rotation_counts_and_no_other() -> None:
    form = [("MessageStatus", "sent")]
    verifier = SignatureVerifier(BASE, ["old", "new"])

    judged = [
        verifier.verify("/x", form, sign(token, f"{BASE}/x", form)) for token in ("old", "new", "newer")
    ]

    assert judged == [True, True, False]


@given(body=st.text("ab=&+%20F\u00e9\x00;", max_size=40) | FORM.map(urlencode))
def test_a_form_is_read_as_the_standard_library_reads_it(body: str) -> None:
    def standard() -> Form | None:
        try:
            return parse_qsl(body, keep_blank_values=True, errors="strict")
        except ValueError:
            return None

    try:
        ours: Form | None = parse_form(body)
    except ValueError:
        ours = None

    assert ours == standard()


@pytest.mark.parametrize("body", ["a=%FF", "&".join(["a=1"] * 1001)], ids=["no-utf-8", "too-long"])
def test_a_form_that_twilio_cannot_have_sent_is_refused(body: str) -> None:
    with pytest.raises(ValueError, match=r"codec|fields"):
        parse_form(body)
