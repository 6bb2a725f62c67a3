"""The same text to the same number, many at once, with answers lost: each message gets a Twilio message of its own."""

from tests.support.stack import Stack

NUMBER = "+15552950001"
BODY = "Your table is ready."


def test_identical_texts_whose_answers_are_lost_each_find_their_own(stack: Stack) -> None:
    with stack.twilio_set_to(p_reset=0.5, loss=0.5):
        ids = [stack.post(NUMBER, BODY)["id"] for _ in range(20)]
        stack.wait_until_settled(ids)
        stack.simulator.wait_until_idle()

    at_twilio = {entry["sid"] for entry in stack.ledger() if entry["body"] == BODY}
    assert {row.status for row in stack.rows(ids).values()} == {"delivered"}
    assert {row.twilio_sid for row in stack.rows(ids).values()} == at_twilio
    assert len(at_twilio) == len(ids)
