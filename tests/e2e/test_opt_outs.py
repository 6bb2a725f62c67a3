"""STOP, START and quiet hours through the running service: what people text decides what they are texted."""

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from smsapp.twilio.error_codes import OwnCode
from tests.support.environment import SENDER
from tests.support.stack import Stack

SERVICE = "MG" + "7" * 32


def phone(stack: Stack, number: int) -> str:
    """Return a number that no other test and no other database texts."""
    return f"+15553{number:02}{0 if stack.kind == 'sqlite' else 1}101"


def write(stack: Stack, number: str, body: str, **fields: object) -> str:
    """Have a phone text us and return the text's SID, once the service has recorded it."""
    sent = {"from": number, "to": SENDER, "body": body, "url": stack.url() + "/twilio/inbound"} | fields
    sid = str(stack.simulator.receive(sent)["message_sid"])
    stack.wait_until(lambda: any(each["twilio_sid"] == sid for each in texts(stack, number)), 15)
    return sid


def texts(stack: Stack, number: str) -> list[dict[str, Any]]:
    return page(stack, f"/sms/inbound?from=%2B{number[1:]}")


def suppressed(stack: Stack, number: str) -> set[str]:
    found = page(stack, f"/sms/suppressions?recipient=%2B{number[1:]}")
    return {each["sender"] or each["messaging_service_sid"] for each in found}


def page(stack: Stack, path: str) -> list[dict[str, Any]]:
    answer = stack.request("GET", path)
    assert answer.status == 200, answer.data
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def refused(stack: Stack, number: str, **fields: object) -> bool:
    """Return whether a text to this number is refused because its owner opted out."""
    answer = stack.request("POST", "/sms/send", {"to": number, "body": "once more", **fields})
    return (answer.status, answer.json().get("code")) == (422, "recipient_opted_out")


def heard(stack: Stack, number: str, after: int) -> list[tuple[str, str]]:
    """Return what consumers heard of this number since then: type, and source or text."""
    events = page(stack, f"/sms/events?after={after}&limit=1000")
    mine = [each for each in events if number in {each["data"].get("recipient"), each["data"].get("from")}]
    return [(each["type"], each["data"].get("source") or each["data"].get("body")) for each in mine]


def latest(stack: Stack) -> int:
    return int(stack.request("GET", "/sms/events?after=0&limit=1").json()["latest"])


def test_stop_ends_texts_and_start_begins_them_again(stack: Stack) -> None:
    number, begin = phone(stack, 1), latest(stack)

    write(stack, number, "Stop")
    assert suppressed(stack, number) == {SENDER}
    stack.wait_until(lambda: refused(stack, number), 5)  # the first one ever may take a second to be heeded
    write(stack, number, "START")

    again = stack.post(number, "after the START")
    assert stack.message(again["id"], wait_s=20)["outcome"] == "delivered"
    assert heard(stack, number, begin) == [
        ("message.received", "Stop"),
        ("recipient.opted_out", "inbound"),
        ("message.received", "START"),
        ("recipient.opted_in", "inbound"),
    ]


def test_a_stop_that_comes_again_does_not_undo_the_start(stack: Stack) -> None:
    number = phone(stack, 2)
    sid = write(stack, number, "STOP")
    write(stack, number, "START")

    write(stack, number, "STOP", message_sid=sid)
    stack.wait_until_tracked()

    assert suppressed(stack, number) == set()


def test_a_text_that_waits_when_the_stop_comes_fails_and_says_so(stack: Stack) -> None:
    number = phone(stack, 3)
    waiting = stack.post(number, "it waits", send_at=(datetime.now(UTC) + timedelta(seconds=3)).isoformat())

    write(stack, number, "STOP")
    message = stack.message(waiting["id"], wait_s=20)

    assert (message["outcome"], message["error"]["code"]) == ("failed", OwnCode.RECIPIENT_OPTED_OUT)
    assert "opted out" in message["explanation"]
    assert stack.simulator.ledger(to=number)["messages"] == []


def test_help_is_kept_and_nothing_else(stack: Stack) -> None:
    number = phone(stack, 4)

    write(stack, number, "HELP")

    assert [each["keyword"] for each in texts(stack, number)] == ["HELP"]
    assert not refused(stack, number)


@pytest.mark.parametrize("late", [False, True], ids=["in the answer", "in a callback"])
def test_an_opt_out_that_only_twilio_knew_of_is_learned(stack: Stack, late: bool) -> None:
    number = phone(stack, 6 if late else 5)
    service = {"messaging_service_sid": SERVICE}
    stack.simulator.receive(
        {"from": number, "to": SENDER, "body": "STOP", **service}
    )  # no webhook was set then
    stack.simulator.configure(late_opt_outs=late)
    try:
        first = stack.message(stack.post(number, "who are you", **service)["id"], wait_s=20)
    finally:
        stack.simulator.configure(late_opt_outs=False)

    assert (first["outcome"], first["error"]["code"]) == ("failed", 21610)
    assert suppressed(stack, number) == {SERVICE}
    stack.wait_until(lambda: refused(stack, number, **service), 5)
    assert not refused(stack, number)  # from another sender
    write(stack, number, "START", **service)
    assert stack.message(stack.post(number, "back", **service)["id"], wait_s=20)["outcome"] == "delivered"


def test_a_keyword_of_the_accounts_own_counts_for_the_whole_service(stack: Stack) -> None:
    number = phone(stack, 7)

    write(stack, number, "arrêt", messaging_service_sid=SERVICE, opt_out_type="STOP")

    assert suppressed(stack, number) == {SENDER, SERVICE}


def test_an_operator_adds_and_lifts(stack: Stack) -> None:
    number = phone(stack, 8)
    added = stack.request("POST", "/sms/suppressions", {"recipient": number, "note": "asked by letter"})
    stack.wait_until(lambda: refused(stack, number, **{"from": "+15005550011"}), 5)

    path = f"/sms/suppressions/{added.json()['id']}"
    lifted = stack.request("POST", f"{path}/lift", {"note": "asked again"})

    assert (added.status, lifted.status, lifted.json()["active"]) == (201, 200, False)
    assert not refused(stack, number)
    assert [line["note"] for line in stack.request("GET", path).json()["history"]] == [
        "asked again",
        "asked by letter",
    ]


def test_a_list_is_taken_over_and_given_back(stack: Stack) -> None:
    everywhere, here, free = (phone(stack, number) for number in (9, 10, 11))
    rows = f"recipient,sender,note\n{everywhere},,moved away\n{here},{SENDER},\nnobody,,\n"

    imported = stack.upload("/sms/suppressions/import", rows).json()
    stack.wait_until(lambda: refused(stack, everywhere) and refused(stack, here), 5)
    again = stack.upload("/sms/suppressions/import", rows).json()
    exported = stack.request("GET", "/sms/suppressions/export.csv").data.decode()

    assert [imported[name] for name in ("rows", "added", "known")] == [3, 2, 0]
    assert [(fault["line"], fault["column"]) for fault in imported["faults"]] == [(4, "recipient")]
    assert [again[name] for name in ("rows", "added", "known")] == [3, 0, 2]
    assert not refused(stack, here, **{"from": "+15005550011"})
    assert not refused(stack, free)
    mine = [row for row in csv.DictReader(io.StringIO(exported)) if row["recipient"] in {everywhere, here}]
    assert {(row["recipient"], row["sender"], row["note"]) for row in mine} == {
        (everywhere, "", "moved away"),
        (here, SENDER, ""),
    }
    assert len(mine) == 2


def test_at_night_a_text_waits_and_an_urgent_one_does_not(stack: Stack) -> None:
    now = datetime.now(UTC)
    # An hour around now in London, and no moment before or after it.
    hours = f"{now - timedelta(minutes=30):%H:%M}-{now + timedelta(minutes=90):%H:%M}"
    number = f"+44207183{8750 + (stack.kind == 'sqlite')}"

    waits = stack.post(number, "by day", quiet_hours=hours)
    urgent = stack.post(number, "at once", quiet_hours=hours, urgent=True)
    ends = stack.post(
        number, "soon or never", quiet_hours=hours, deliver_by=(now + timedelta(seconds=4)).isoformat()
    )

    assert stack.message(urgent["id"], wait_s=20)["outcome"] == "delivered"
    ended = stack.message(ends["id"], wait_s=20)
    assert (ended["outcome"], ended["error"]["code"]) == ("failed", OwnCode.DEADLINE_MISSED)
    waiting = stack.message(waits["id"])
    assert (waiting["status"], waiting["error"]["code"]) == ("pending", OwnCode.QUIET_HOURS)
    assert waiting["next_attempt_at"] > (now + timedelta(minutes=20)).isoformat()
    assert stack.events(waits["id"])[0]["reason"] == "quiet_hours"
    stack.request("POST", f"/sms/messages/{waits['id']}/cancel")
