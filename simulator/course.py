"""What Twilio may do with one create request: the vocabulary of the fixed table and of the random courses."""

from dataclasses import dataclass
from enum import StrEnum


class Answer(StrEnum):
    """How the create of an accepted message is answered; all but the first leave the client without an answer."""

    CREATED = "created"  # 201 with the message
    SERVER_ERROR = "server_error"  # 500 with code 20500
    DROPPED = "dropped"  # the connection is closed without a response
    WITHHELD = "withheld"  # nothing, until the client gives up
    UNREADABLE = "unreadable"  # 201 with a page of HTML


class Moment(StrEnum):
    """When a step happens, relative to the options `sent_ms` and `final_ms`."""

    QUEUED = "queued"
    SENT = "sent"
    BETWEEN = "between"
    FINAL = "final"
    LATE = "late"


class Quirk(StrEnum):
    """What goes wrong with the callbacks of a message."""

    LOST = "lost"
    TWICE = "twice"
    REVERSED = "reversed"
    EARLY = "early"  # before the create is answered
    FORGED = "forged"  # preceded by a false one with a wrong signature
    SHUFFLED = "shuffled"  # at random times in a random order


@dataclass(frozen=True, slots=True)
class Refusal:
    """A create that is not accepted. `code` None: the connection is reset instead of an answer.

    `times`: how often the same text to the same number is refused before it is accepted, None for always.
    """

    code: int | None
    times: int | None = None
    retry_after_s: int | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """A change of status that Twilio makes and calls back."""

    status: str
    at: Moment
    error_code: int | None = None


SENT = Step("sent", Moment.SENT)
DELIVERED = (SENT, Step("delivered", Moment.FINAL))


@dataclass(frozen=True, slots=True)
class Course:
    """Everything that Twilio does with one create request. `listed`: whether lists show the message."""

    refusal: Refusal | None = None
    answer: Answer = Answer.CREATED
    steps: tuple[Step, ...] = DELIVERED
    quirks: frozenset[Quirk] = frozenset()
    listed: bool = True


USUAL = Course()
