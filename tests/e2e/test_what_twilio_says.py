"""What Twilio says beside statuses, through the running service: senders, prices, faults of the account."""

from datetime import UTC, datetime

from sqlalchemy import update

from smsapp.breakers.models import Breaker
from tests.support.stack import Stack

SERVICE = "MG" + "5" * 32


def test_a_delivered_text_gets_its_sender_its_carriers_time_and_late_its_price(stack: Stack) -> None:
    message_id = stack.post("+15550170001", "What does it cost?", messaging_service_sid=SERVICE)["id"]

    delivered = stack.message(message_id, wait_s=20)
    stack.wait_until(lambda: stack.message(message_id)["price"] is not None)

    assert (delivered["outcome"], delivered["price"]) == ("delivered", None)
    assert delivered["from"].startswith("+1")
    assert delivered["carrier_at"] is not None
    assert 0 <= delivered["latency_s"] < 20
    priced = stack.message(message_id)
    assert (priced["price"], priced["price_unit"], priced["status"]) == ("-0.00750", "USD", "delivered")


def test_a_suspended_account_parks_everybody_who_then_know_why_and_resumes_by_itself(stack: Stack) -> None:
    with stack.twilio_set_to(account_status="suspended"):
        tried = stack.post("+15550170002", "Parked")["id"]
        stack.wait_until(lambda: "parked" in stack.message(tried)["explanation"])
        untried = stack.post("+15550170003", "Parked, too")["id"]
        waiting = [stack.message(each) for each in (tried, untried)]
    with stack.sessions.begin() as session:
        session.execute(
            update(Breaker).values(probe_at=datetime.now(UTC))
        )  # the next question, a minute earlier

    stack.wait_until_settled([tried, untried], timeout_s=60)

    assert len({message["explanation"] for message in waiting}) == 1
    assert "(account_suspended)" in waiting[0]["explanation"]
    assert {message["error"]["code"] for message in waiting} == {20005}
    assert all(message["error"]["until"] == message["next_attempt_at"] for message in waiting)
    assert {stack.message(each)["outcome"] for each in (tried, untried)} == {"delivered"}
