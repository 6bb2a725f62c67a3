"""Reproducible random courses: the outcome depends on the seed and the message, never on timing or order."""

from random import Random

from simulator.course import DELIVERED, SENT, Answer, Course, Moment, Quirk, Refusal, Step
from simulator.drafts import Draft
from simulator.options import Behaviour

_latencies = Random()
UNDELIVERED = (SENT, Step("undelivered", Moment.FINAL, 30003))

_FAULTS = (
    # In the order of Behaviour.create_faults.
    Course(refusal=Refusal(20429, retry_after_s=1)),
    Course(refusal=Refusal(20503)),
    Course(answer=Answer.WITHHELD),
    Course(answer=Answer.DROPPED),
    Course(refusal=Refusal(None)),
)


def rng_for(behaviour: Behaviour, draft: Draft, attempt: int) -> Random:
    """Return the source of chance for one create: the n-th of this text to this number."""
    return Random(f"{behaviour.seed}\0{draft.to}\0{draft.body}\0{attempt}")


def random_course(behaviour: Behaviour, rng: Random) -> Course:
    """Draw the course of one create."""
    fault = _draw_fault(behaviour, rng)
    if fault.refusal:
        return fault
    quirks = set()
    if rng.random() < behaviour.early:
        quirks.add(Quirk.EARLY)
    elif rng.random() < behaviour.reorder:
        quirks.add(Quirk.SHUFFLED)
    return Course(
        answer=fault.answer,
        steps=UNDELIVERED if rng.random() < behaviour.p_undelivered else DELIVERED,
        quirks=frozenset(quirks),
        listed=fault.answer is Answer.CREATED or not behaviour.hide_list,
    )


def _draw_fault(behaviour: Behaviour, rng: Random) -> Course:
    drawn = rng.random()
    for share, course in zip(behaviour.create_faults, _FAULTS, strict=True):
        if drawn < share:
            return course
        drawn -= share
    return Course()


def random_latency_s(behaviour: Behaviour) -> float:
    """Return the latency of one create; the only draw that no seed reproduces, as no outcome depends on it."""
    if not behaviour.latency_ms:
        return 0.0
    spread = behaviour.latency_jitter * behaviour.latency_ms
    return (behaviour.latency_ms + _latencies.uniform(-spread, spread)) / 1000
