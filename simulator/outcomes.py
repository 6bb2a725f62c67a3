"""The table of outcomes: the last five digits of `To` choose what becomes of a message.

It is data, so that tests run over it and docs/simulator.md prints it. `status` and `error_code` are what smsapp should
end with; Twilio's own view may differ where nobody can know it.
"""

from dataclasses import dataclass
from types import MappingProxyType

from simulator.course import DELIVERED, SENT, USUAL, Answer, Course, Moment, Quirk, Refusal, Step
from simulator.errors import DELIVERY_FAILURES, REFUSALS


@dataclass(frozen=True, slots=True)
class Outcome:
    """One row. `digits` is empty for the default.

    `if_resent` is the status that smsapp should end with when it may resend what is unconfirmed, None when
    that makes no difference.
    """

    name: str
    digits: str
    happens: str
    status: str
    error_code: int | None = None
    if_resent: str | None = None
    course: Course = USUAL


def _undelivered(code: int) -> Outcome:
    return Outcome(
        name=f"undelivered-{code}",
        digits=str(code),
        happens=f"`sent`, then `undelivered`: {DELIVERY_FAILURES[code]}.",
        status="undelivered",
        error_code=code,
        course=Course(steps=(SENT, Step("undelivered", Moment.FINAL, code))),
    )


def _failed(code: int) -> Outcome:
    return Outcome(
        name=f"failed-{code}",
        digits=str(code),
        happens=f"`failed` without having been `sent`: {DELIVERY_FAILURES[code]}.",
        status="failed",
        error_code=code,
        course=Course(steps=(Step("failed", Moment.FINAL, code),)),
    )


def _refused(code: int) -> Outcome:
    status, message = REFUSALS[code]
    return Outcome(
        name=f"refused-{code}",
        digits=str(code),
        happens=f"The create is refused with {status}: {message.rstrip('.')}.",
        status="failed",
        error_code=code,
        course=Course(refusal=Refusal(code)),
    )


def _with_quirk(name: str, digits: str, happens: str, quirk: Quirk) -> Outcome:
    return Outcome(name, digits, happens, "delivered", course=Course(quirks=frozenset({quirk})))


def _answered(name: str, digits: str, happens: str, answer: Answer) -> Outcome:
    return Outcome(name, digits, happens, "delivered", course=Course(answer=answer))


OUTCOMES = (
    Outcome("delivered", "", "`sent`, then `delivered`.", "delivered"),
    *map(_undelivered, (30003, 30005, 30007, 30008, 30006, 30004)),
    *map(_failed, (30034, 30001, 30032)),
    Outcome(
        "failed-21610",
        "90610",
        f"Accepted, then `failed`: {DELIVERY_FAILURES[21610]}.",
        "failed",
        21610,
        course=Course(steps=(Step("failed", Moment.FINAL, 21610),)),
    ),
    *map(_refused, (21211, 21610, 21614, 21408, 21612, 21606, 20003)),
    Outcome(
        "concurrency-exceeded",
        "20429",
        "Twice 429 with code 20429 and `Retry-After: 1`, then accepted and delivered.",
        "delivered",
        course=Course(refusal=Refusal(20429, times=2, retry_after_s=1)),
    ),
    Outcome(
        "sender-queue-full",
        "21611",
        "Twice 429 with code 21611, then accepted and delivered.",
        "delivered",
        course=Course(refusal=Refusal(21611, times=2)),
    ),
    Outcome(
        "unavailable",
        "20503",
        "Twice 503 without having accepted it, then accepted and delivered.",
        "unconfirmed",
        if_resent="delivered",
        course=Course(refusal=Refusal(20503, times=2)),
    ),
    _answered(
        "server-error", "20500", "Accepted, but answered with 500; callbacks follow.", Answer.SERVER_ERROR
    ),
    _answered(
        "answer-dropped", "90001", "Accepted, then the connection closes; callbacks follow.", Answer.DROPPED
    ),
    _answered("answer-withheld", "90002", "Accepted, but never answered; callbacks follow.", Answer.WITHHELD),
    _with_quirk(
        "callbacks-lost", "90003", "Every callback is lost; reading the API shows the end.", Quirk.LOST
    ),
    _with_quirk("callbacks-twice", "90004", "Every callback comes twice.", Quirk.TWICE),
    _with_quirk("callbacks-reversed", "90005", "`delivered` is called back before `sent`.", Quirk.REVERSED),
    _with_quirk("callbacks-early", "90006", "Every callback comes before the 201.", Quirk.EARLY),
    Outcome(
        "stuck-in-sent", "90007", "`sent`, and never anything more.", "sent", course=Course(steps=(SENT,))
    ),
    _answered(
        "answer-unreadable", "90008", "Accepted, but the 201 is HTML; callbacks follow.", Answer.UNREADABLE
    ),
    Outcome(
        "corrected",
        "90009",
        "`undelivered` with 30008, then the carrier corrects itself: `delivered`.",
        "delivered",
        course=Course(
            steps=(SENT, Step("undelivered", Moment.FINAL, 30008), Step("delivered", Moment.LATE)),
        ),
    ),
    Outcome(
        "only-listed",
        "90010",
        "Accepted, then the connection closes and every callback is lost; only the list shows it.",
        "delivered",
        course=Course(answer=Answer.DROPPED, quirks=frozenset({Quirk.LOST})),
    ),
    Outcome(
        "unknowable",
        "90011",
        "As 90010, and no list ever shows it; only the ledger knows.",
        "unconfirmed",
        course=Course(answer=Answer.DROPPED, quirks=frozenset({Quirk.LOST}), listed=False),
    ),
    Outcome(
        "reset-before-accepting",
        "90012",
        "Twice the connection is reset without having accepted it, then accepted and delivered.",
        "unconfirmed",
        if_resent="delivered",
        course=Course(refusal=Refusal(None, times=2)),
    ),
    _with_quirk(
        "callback-forged",
        "90013",
        "A wrongly signed callback says `failed`; then the true ones, rightly signed.",
        Quirk.FORGED,
    ),
    Outcome(
        "unknown-status",
        "90014",
        "A status word that nobody has heard of comes between `sent` and `delivered`.",
        "delivered",
        course=Course(steps=(SENT, Step("handed_over", Moment.BETWEEN), DELIVERED[1])),
    ),
    Outcome(
        "in-parts",
        "90015",
        "`sent`, then `partially_delivered`, then `delivered`.",
        "delivered",
        course=Course(steps=(SENT, Step("partially_delivered", Moment.BETWEEN), DELIVERED[1])),
    ),
    Outcome(
        "stuck-in-parts",
        "90016",
        "`sent`, then `partially_delivered`, and never anything more.",
        "partially_delivered",
        course=Course(steps=(SENT, Step("partially_delivered", Moment.FINAL))),
    ),
)

BY_DIGITS = MappingProxyType({outcome.digits: outcome for outcome in OUTCOMES if outcome.digits})
DEFAULT = OUTCOMES[0]


def outcome_for(to: str) -> Outcome:
    """Return the outcome that the recipient's last five digits ask for."""
    return BY_DIGITS.get(to[-5:], DEFAULT)


def markdown_table() -> str:
    """Return the table as it stands in docs/simulator.md."""
    lines = [
        "| last digits | name | what happens | smsapp ends with | `error_code` | when resent |",
        "|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.digits or 'any other'} | {row.name} | {row.happens} "
        f"| {row.status} | {row.error_code or '-'} | {row.if_resent or '-'} |"
        for row in OUTCOMES
    ]
    return "\n".join(lines) + "\n"
