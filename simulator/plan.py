"""Turn a course into a timeline: when the status changes, and when which callbacks go out."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from random import Random

from simulator.course import Course, Moment, Quirk, Step
from simulator.options import Behaviour

FORGED_CODE = 30008


@dataclass(frozen=True, slots=True)
class Change:
    """The status changes, `at_ms` after the start."""

    at_ms: float
    status: str
    error_code: int | None


@dataclass(frozen=True, slots=True)
class Report:
    """A callback goes out, `at_ms` after the start, in this many copies; 0 means that it is lost."""

    at_ms: float
    status: str
    error_code: int | None
    copies: int = 1
    forged: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to an accepted message.

    `in_turn`: each callback waits until the one before it is answered. `early`: the create is answered only
    after all of it.
    """

    events: tuple[Change | Report, ...]
    in_turn: bool = False
    early: bool = False


@lru_cache(maxsize=256)
def fixed_plan(course: Course, behaviour: Behaviour, *, via_service: bool) -> Plan:
    """Return the timeline of an accepted message, without randomness."""
    return make_plan(course, behaviour, None, via_service=via_service)


def make_plan(course: Course, behaviour: Behaviour, rng: Random | None, *, via_service: bool) -> Plan:
    """Return the timeline of an accepted message.

    The initial status is never called back, so `queued` is only after accepted or scheduled:
    https://www.twilio.com/docs/messaging/guides/outbound-message-status-in-status-callbacks. Without `rng` the timeline
    is deterministic.
    """
    steps: Sequence[Step] = (Step("queued", Moment.QUEUED), *course.steps) if via_service else course.steps
    times = [0.0 if Quirk.EARLY in course.quirks else _ms(step.at, behaviour) for step in steps]
    changes = [Change(at, step.status, step.error_code) for at, step in zip(times, steps, strict=True)]
    reports = [Report(at, step.status, step.error_code) for at, step in zip(times, steps, strict=True)]
    reports = _apply_quirks(reports, course.quirks, behaviour, rng)
    in_turn = {Quirk.EARLY, Quirk.FORGED, Quirk.REVERSED} & course.quirks
    # A stable sort: at equal times the status changes first.
    events: list[Change | Report] = [*changes, *reports]
    events.sort(key=lambda event: event.at_ms)
    return Plan(tuple(events), in_turn=bool(in_turn), early=Quirk.EARLY in course.quirks)


def single_step(status: str, error_code: int | None = None) -> Plan:
    """Return the plan of a message whose status changes once, immediately, with a callback."""
    return Plan((Change(0.0, status, error_code), Report(0.0, status, error_code)))


def _ms(moment: Moment, behaviour: Behaviour) -> float:
    sent, final = behaviour.sent_ms, max(behaviour.sent_ms, behaviour.final_ms)
    return {
        Moment.QUEUED: sent / 2,
        Moment.SENT: sent,
        Moment.BETWEEN: (sent + final) / 2,
        Moment.FINAL: final,
        Moment.LATE: 2 * final - sent,
    }[moment]


def _apply_quirks(
    reports: list[Report], quirks: frozenset[Quirk], behaviour: Behaviour, rng: Random | None
) -> list[Report]:
    if Quirk.REVERSED in quirks:
        last = reports[-1].at_ms
        reports = [replace(report, at_ms=last) for report in reversed(reports)]
    if Quirk.FORGED in quirks:
        reports.insert(0, Report(reports[0].at_ms, "failed", FORGED_CODE, forged=True))
    if Quirk.SHUFFLED in quirks and rng:
        reports = _shuffle(reports, behaviour, rng)
    if Quirk.LOST in quirks:
        return [replace(report, copies=0) for report in reports]
    if Quirk.TWICE in quirks:
        return [replace(report, copies=2) for report in reports]
    return [replace(report, copies=_copies(behaviour, rng)) for report in reports] if rng else reports


def _shuffle(reports: list[Report], behaviour: Behaviour, rng: Random) -> list[Report]:
    times = [report.at_ms for report in reports]
    rng.shuffle(times)
    delays = (rng.uniform(0, behaviour.final_ms) for _ in times)
    return [
        replace(report, at_ms=at + delay) for report, at, delay in zip(reports, times, delays, strict=True)
    ]


def _copies(behaviour: Behaviour, rng: Random) -> int:
    if rng.random() < behaviour.loss:
        return 0
    return 2 if rng.random() < behaviour.duplicate else 1
