"""The main job: one request, one text, one timeline that tells all of it."""

from tests.support.stack import Stack

NUMBER = "+14155552671"


def test_a_message_goes_from_the_request_to_delivered(stack: Stack) -> None:
    accepted = stack.post(NUMBER, "from the request to delivered", client_reference="order-1")

    message = stack.message(accepted["id"], wait_s=20)

    assert accepted["status"] == "pending"
    assert (message["status"], message["outcome"], message["error"]) == ("delivered", "delivered", None)
    assert message["client_reference"] == "order-1"
    assert [entry["sid"] for entry in stack.ledger() if entry["body"] == message["body"]] == [
        message["twilio_sid"]
    ]


def test_its_timeline_shows_every_step_and_who_reported_it(stack: Stack) -> None:
    accepted = stack.post(NUMBER, "every step and who reported it")
    message = stack.message(accepted["id"], wait_s=20)
    stack.simulator.wait_until_idle()
    stack.wait_until(lambda: "api" in {event["source"] for event in stack.events(accepted["id"])})

    events = stack.events(accepted["id"])

    assert [event["seq"] for event in events] == sorted({event["seq"] for event in events})
    assert {(event["source"], event["status"]) for event in events} == {
        ("request", "pending"),
        ("system", "submitting"),
        ("api", "queued"),
        ("callback", "sent"),
        ("callback", "delivered"),
    }
    times = [message[name] for name in ("created_at", "submitted_at", "sent_at", "finished_at")]
    assert times == sorted(times)


def test_a_long_poll_is_answered_as_soon_as_the_outcome_is_known(stack: Stack) -> None:
    accepted = stack.post(NUMBER, "as soon as the outcome is known")

    answer = stack.request("GET", f"/sms/messages/{accepted['id']}?wait=20")

    assert answer.json()["outcome"] == "delivered"


def test_the_same_key_sends_once(stack: Stack) -> None:
    draft = {"to": NUMBER, "body": "the same key sends once"}
    key = {"Idempotency-Key": f"e2e-{stack.kind}"}

    answers = [stack.request("POST", "/sms/send", draft, headers=key) for _ in range(3)]
    stack.message(answers[0].json()["id"], wait_s=20)

    assert {answer.status for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum(entry["body"] == draft["body"] for entry in stack.ledger()) == 1
