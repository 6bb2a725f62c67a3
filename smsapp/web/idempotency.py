"""What every answer has that was stored with an Idempotency-Key."""

from smsapp.db.idempotency import Answered

REPLAYED = "Idempotent-Replayed"


def answer_headers(answered: Answered, location: str) -> dict[str, str]:
    """Return the headers of an answer: where the thing is that was made, and whether the answer is a repetition."""
    return {"Location": location} | ({REPLAYED: "true"} if answered.replayed else {})
