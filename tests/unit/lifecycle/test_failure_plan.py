"""Plans for failures: which step is taken when, what is never done, and that every plan comes to an end."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.lifecycle.failure_plan import (
    ANY,
    LATE,
    MAX_STEPS,
    Do,
    Followed,
    Plan,
    PlanStep,
    follow_late,
    follow_plan,
    parse_plan,
    parse_span,
)
from smsapp.messages.fold import MessageState
from smsapp.messages.status import BAD_NEWS, FINAL, Status
from smsapp.twilio.error_codes import FAILURES, FailureClass, OwnCode, explain

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
SENT = MessageState(uuid4(), Status.SENT, attempt=1, version=4, created_at=NOW, twilio_sid="SM1")


def plan(*steps: dict[str, Any], max_segments: int | None = None) -> Plan:
    return parse_plan({"steps": steps, "max_segments": max_segments})


def failing(its: Plan, code: int | None = 30003, **changes: Any) -> MessageState:
    status = changes.pop("status", Status.UNDELIVERED)
    return SENT._replace(status=status, error_code=code, finished_at=NOW, steps_left=its.all_left, **changes)


def follow(
    its: Plan, after: MessageState, *, segments: int = 1, before: MessageState = SENT
) -> Followed | None:
    return follow_plan(before, after, its, segments=segments, now=NOW, receipt_id=uuid4(), rng=lambda: 0.5)


def number(followed: Followed | None) -> int | None:
    return followed and followed.number


AGAIN = {"on": ["any"], "do": "resend", "after": "5m"}
FALLBACK = {"on": ["any"], "do": "request_fallback"}


def test_a_resend_waits_and_is_told_with_its_reason() -> None:
    its = plan({**AGAIN, "from": "+15005550011"})

    followed = follow(its, failing(its))

    assert followed is not None
    message, event = followed.message, followed.event
    assert (message.status, message.attempt, message.steps_left) == (Status.PENDING, 2, 0)
    assert message.due_at == NOW + 5 * MINUTE + timedelta(seconds=30)
    assert (event.raw_status, event.applied, event.reason, event.error_code) == (
        "pending",
        True,
        "plan_resend",
        30003,
    )
    assert event.payload == {
        "step": 1,
        "class": "retry_later",
        "from": "+15005550011",
        "messaging_service_sid": None,
    }


def test_a_fallback_leaves_the_message_as_it_is() -> None:
    its = plan(FALLBACK)
    after = failing(its)

    followed = follow(its, after)

    assert followed is not None
    assert followed.message._replace(version=after.version, steps_left=after.steps_left) == after
    assert (followed.event.raw_status, followed.event.applied, followed.event.reason) == (
        "undelivered",
        False,
        "plan_fallback",
    )


@pytest.mark.parametrize(
    ("on", "code", "fits"),
    [
        (["retry_later"], 30003, True),
        (["content"], 30007, True),
        (["content"], 30003, False),
        (["30007"], 30007, True),
        (["30007"], 30003, False),
        (["content", "30003"], 30003, True),
        (["any"], 21211, True),
        (["deadline_missed"], 30003, False),
    ],
)
def test_a_step_is_for_what_it_names(on: list[str], code: int, *, fits: bool) -> None:
    its = plan({"on": on, "do": "request_fallback"})

    assert bool(follow(its, failing(its, code))) is fits


def test_the_first_step_that_fits_and_is_left_is_taken() -> None:
    its = plan({**AGAIN, "on": ["content"]}, AGAIN, FALLBACK)

    assert number(follow(its, failing(its))) == 2
    assert number(follow(its, failing(its)._replace(steps_left=0b101))) == 3
    assert number(follow(its, failing(its)._replace(steps_left=0b001))) is None
    assert number(follow(its, failing(its, 30007))) == 1


def test_a_step_that_would_be_too_late_gives_way_to_the_next() -> None:
    its = plan(AGAIN, FALLBACK)

    assert number(follow(its, failing(its, deliver_by=NOW + 5 * MINUTE))) == 2
    assert number(follow(its, failing(its, deliver_by=NOW + 6 * MINUTE))) == 1


@pytest.mark.parametrize(
    ("max_segments", "segments", "taken"), [(None, 9, 1), (2, 1, 1), (4, 2, 1), (3, 2, 2)]
)
def test_a_step_that_would_cost_too_much_gives_way_to_the_next(
    max_segments: int | None, segments: int, taken: int
) -> None:
    its = plan(AGAIN, FALLBACK, max_segments=max_segments)

    assert number(follow(its, failing(its), segments=segments)) == taken


def test_what_was_sent_again_before_counts_towards_the_cost() -> None:
    its = plan(AGAIN, AGAIN, max_segments=2)

    assert number(follow(its, failing(its)._replace(steps_left=0b10))) is None


@pytest.mark.parametrize("code", [21610, 63033, int(OwnCode.RECIPIENT_OPTED_OUT)])
def test_nobody_who_opted_out_is_written_to_again(code: int) -> None:
    its = plan({**AGAIN, "on": ["any", "opt_out", str(code)]}, {"on": ["opt_out"], "do": "request_fallback"})

    assert number(follow(its, failing(its, code, status=Status.FAILED))) == 2


@pytest.mark.parametrize("code", [OwnCode.ANSWER_LOST, OwnCode.NOT_FOUND_AT_TWILIO, OwnCode.TEXT_REMOVED])
def test_what_may_be_at_twilio_or_has_no_text_is_not_sent_again(code: OwnCode) -> None:
    its = plan({**AGAIN, "on": ["any", "ambiguous", "content"]}, FALLBACK)

    assert number(follow(its, failing(its, int(code), status=Status.FAILED))) == 2


def test_what_may_have_arrived_is_sent_again_only_when_that_is_named() -> None:
    assert explain(30410).failure_class is FailureClass.AMBIGUOUS
    for on, taken in ([ANY], None), (["ambiguous"], 1), (["30410"], 1):
        its = plan({**AGAIN, "on": on})
        assert number(follow(its, failing(its, 30410))) == taken


def test_a_plan_is_asked_once_at_the_moment_of_failing() -> None:
    its = plan(AGAIN)

    assert follow(its, failing(its), before=failing(its, None)) is None
    assert follow(its, SENT._replace(status=Status.DELIVERED, steps_left=1)) is None


def test_a_missed_deadline_has_a_word_of_its_own() -> None:
    its = plan({"on": [LATE], "do": "request_fallback"})
    code = int(OwnCode.DEADLINE_MISSED)

    assert follow(its, failing(its, code, status=Status.FAILED))
    assert follow(its, failing(its, 20003, status=Status.FAILED, deliver_by=NOW))
    assert not follow(its, failing(its, 20003, status=Status.FAILED, deliver_by=NOW + MINUTE))


@pytest.mark.parametrize("status", list(Status))
def test_a_deadline_that_passes_under_way_requests_the_fallback_named_for_it(status: Status) -> None:
    its = plan(FALLBACK, {"on": [LATE], "do": "request_fallback"})
    message = SENT._replace(status=status, steps_left=its.all_left)

    followed = follow_late(message, its, now=NOW, receipt_id=uuid4())

    assert number(followed) == (None if status in FINAL else 2)
    if followed:
        assert followed.message.steps_left == 0b01
        assert follow_late(followed.message, its, now=NOW, receipt_id=uuid4()) is None


def test_a_channel_is_part_of_the_senders_address() -> None:
    (step,) = plan({**AGAIN, "channel": "whatsapp", "from": "+15005550011"}).steps

    assert (step.sender, step.readdresses) == ("whatsapp:+15005550011", True)
    assert not plan(AGAIN).steps[0].readdresses


@pytest.mark.parametrize(("text", "seconds"), [("0s", 0), ("30s", 30), ("5m", 300), ("72h", 259_200)])
def test_spans_are_read(text: str, seconds: int) -> None:
    assert parse_span(text) == timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1.5h", "5 m", "73h", "9999999s", "5d", "\u0665m"])
def test_what_is_no_span_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="span of time"):
        parse_span(text)


words = st.sampled_from([ANY, LATE, *map(str, FailureClass), *map(str, FAILURES)])
steps = st.builds(
    PlanStep,
    on=st.frozensets(words, min_size=1, max_size=4),
    do=st.sampled_from(Do),
    after=st.timedeltas(timedelta(), timedelta(hours=72)),
    sender=st.sampled_from([None, "+15005550011"]),
)
plans = st.builds(
    Plan,
    st.lists(steps, min_size=1, max_size=MAX_STEPS).map(tuple),
    st.none() | st.integers(1, 20),
)
codes = st.sampled_from([None, *FAILURES, *map(int, OwnCode)])


@given(
    its=plans,
    failures=st.lists(st.tuples(st.sampled_from(sorted(BAD_NEWS)), codes), min_size=8, max_size=8),
    segments=st.integers(1, 10),
    minutes=st.none() | st.integers(0, 6000),
)
def test_whatever_happens_a_plan_ends_within_its_bounds(
    its: Plan, failures: list[tuple[Status, int | None]], segments: int, minutes: int | None
) -> None:
    message = SENT._replace(steps_left=its.all_left)
    if minutes is not None:
        message = message._replace(deliver_by=NOW + timedelta(minutes=minutes))
    now, taken, resent = NOW, [], 0
    for status, code in failures:
        after = message._replace(status=status, error_code=code)
        followed = follow_plan(
            message, after, its, segments=segments, now=now, receipt_id=uuid4(), rng=lambda: 0.5
        )
        if followed is None or followed.step.do is Do.REQUEST_FALLBACK:
            taken += [followed.number] if followed else []
            message = (followed.message if followed else after)._replace(status=Status.SENT)
            continue
        resent += 1
        taken.append(followed.number)
        message = followed.message
        assert explain(code, status=status).failure_class is not FailureClass.OPT_OUT
        assert message.due_at is not None
        assert message.deliver_by is None or message.due_at <= message.deliver_by
        assert message.attempt == after.attempt + 1
        now = message.due_at

    assert len(taken) == len(set(taken)) <= len(its.steps)
    assert its.max_segments is None or resent == 0 or (1 + resent) * segments <= its.max_segments
