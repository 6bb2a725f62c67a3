"""Identifiers: readable by people, sortable by time, and the attempt in the callback's address."""

from urllib.parse import urldefrag
from uuid import UUID, uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.ids import callback_url, new_id, parse_public_id, parse_target, public_id

BASE_URL = "https://sms.example.test"
ID = UUID("01890a5d-96a0-7c4b-9f3e-2d1c0b0a0908")


def test_ids_are_in_the_order_of_their_making() -> None:
    ids = [new_id() for _ in range(1000)]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)
    assert {made.version for made in ids} == {7}


@given(st.uuids())
def test_a_public_id_leads_back_to_its_message(message_id: UUID) -> None:
    assert parse_public_id(public_id(message_id)) == message_id


@given(message_id=st.uuids(), attempt=st.integers(min_value=1, max_value=999_999))
def test_a_callback_address_names_message_and_attempt(message_id: UUID, attempt: int) -> None:
    url, fragment = urldefrag(callback_url(BASE_URL, message_id, attempt))

    head, _, target = url.rpartition("/")
    assert head == f"{BASE_URL}/twilio/status"
    assert parse_target(target) == (message_id, attempt)
    assert fragment == "rc=2&rp=ct,rt,5xx&ct=1500&rt=3000"


def test_the_first_attempt_has_no_number() -> None:
    assert callback_url(BASE_URL, ID, 1).startswith(f"{BASE_URL}/twilio/status/{public_id(ID)}#")
    assert callback_url(BASE_URL, ID, 2).startswith(f"{BASE_URL}/twilio/status/{public_id(ID)}-2#")


def test_addresses_of_two_attempts_differ() -> None:
    assert callback_url(BASE_URL, ID, 1) != callback_url(BASE_URL, ID, 11)


@pytest.mark.parametrize(
    ("target", "parsed"),
    [
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a0908", (ID, 1), id="as we write it"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a0908-2", (ID, 2), id="a later attempt"),
        pytest.param("01890a5d-96a0-7c4b-9f3e-2d1c0b0a0908", (ID, 1), id="a plain UUID"),
        pytest.param("01890a5d-96a0-7c4b-9f3e-2d1c0b0a0908-3", (ID, 3), id="a plain UUID, a later attempt"),
        pytest.param("MSG_01890A5D96A07C4B9F3E2D1C0B0A0908", (ID, 1), id="in capitals"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a0908-0", None, id="attempt 0"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a0908-02", None, id="a leading zero"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a0908-1234567", None, id="an absurd attempt"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a0908-", None, id="a bare dash"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a0908\n", None, id="a line feed"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a090", None, id="too short"),
        pytest.param("msg_01890a5d96a07c4b9f3e2d1c0b0a09080", None, id="too long"),
        pytest.param("msg_", None, id="nothing"),
        pytest.param("", None, id="empty"),
        pytest.param("SM00000000000000000000000000000000", None, id="a SID"),
    ],
)
def test_a_target_is_read_or_refused(target: str, parsed: tuple[UUID, int] | None) -> None:
    assert parse_target(target) == parsed


@given(st.text(max_size=64))
def test_no_target_is_too_odd_to_read(target: str) -> None:
    parsed = parse_target(target)

    assert parsed is None or parsed[1] >= 1


@pytest.mark.parametrize("text", [str(ID), ID.hex, f"{public_id(ID)}-2", "", "msg_", "msg_zz"])
def test_callers_know_a_message_by_its_public_id_alone(text: str) -> None:
    assert parse_public_id(text) is None


def test_the_base_url_may_have_a_path() -> None:
    message_id = uuid4()

    url = callback_url(f"{BASE_URL}/gateway", message_id, 1)

    assert url.startswith(f"{BASE_URL}/gateway/twilio/status/msg_{message_id.hex}#")
