"""Timelines, chance and connection overrides."""

from collections import Counter
from random import Random

import pytest

from simulator.callback_url import Overrides, parse_overrides, parse_target
from simulator.chance import random_course, rng_for
from simulator.course import USUAL, Answer, Course, Quirk
from simulator.drafts import Draft
from simulator.options import Behaviour, OptionError, parse_options
from simulator.plan import Report, make_plan

BEHAVIOUR = Behaviour(sent_ms=100, final_ms=300)


def draft(number: int) -> Draft:
    return Draft(f"+1555{number:07d}", "+15550109999", None, "Hello", (), None, None)


def courses(behaviour: Behaviour, count: int = 2000) -> list[Course]:
    return [random_course(behaviour, rng_for(behaviour, draft(number), 1)) for number in range(count)]


def reports(
    course: Course, behaviour: Behaviour = BEHAVIOUR, **options: bool
) -> list[tuple[float, str, int]]:
    plan = make_plan(course, behaviour, Random(1), via_service=options.get("via_service", False))
    return [(event.at_ms, event.status, event.copies) for event in plan.events if isinstance(event, Report)]


def test_callbacks_follow_the_timing_options() -> None:
    assert reports(USUAL) == [(100, "sent", 1), (300, "delivered", 1)]


def test_queued_is_called_back_only_with_a_service() -> None:
    assert reports(USUAL, via_service=True) == [(50, "queued", 1), (100, "sent", 1), (300, "delivered", 1)]


def test_reversed_callbacks_wait_for_the_last_status() -> None:
    course = Course(quirks=frozenset({Quirk.REVERSED}))

    assert reports(course) == [(300, "delivered", 1), (300, "sent", 1)]


def test_loss_and_duplicates_are_drawn_for_each_callback() -> None:
    assert {copies for _, _, copies in reports(USUAL, Behaviour(loss=1))} == {0}
    assert {copies for _, _, copies in reports(USUAL, Behaviour(duplicate=1))} == {2}


def test_shuffled_callbacks_come_late_but_all_of_them() -> None:
    shuffled = reports(Course(quirks=frozenset({Quirk.SHUFFLED})))

    assert {status for _, status, _ in shuffled} == {"sent", "delivered"}
    assert all(100 <= at_ms <= 600 for at_ms, _, _ in shuffled)


def test_the_same_seed_gives_the_same_fate_in_any_order() -> None:
    behaviour = Behaviour(seed=3, p_reset=0.3, p503=0.3, early=0.5, p_undelivered=0.5)
    numbers = range(200)

    forwards = {n: random_course(behaviour, rng_for(behaviour, draft(n), 1)) for n in numbers}
    backwards = {n: random_course(behaviour, rng_for(behaviour, draft(n), 1)) for n in reversed(numbers)}

    assert forwards == backwards
    assert courses(behaviour) != courses(behaviour.changed({"seed": 4}))


def test_faults_come_in_their_shares() -> None:
    drawn = courses(Behaviour(p429=0.1, p503=0.1, p_timeout=0.1, p_reset=0.1, p_not_accepted_reset=0.1))
    kinds = Counter(course.refusal.code if course.refusal else course.answer for course in drawn)

    assert set(kinds) == {20429, 20503, None, Answer.WITHHELD, Answer.DROPPED, Answer.CREATED}
    assert all(100 < kinds[kind] < 300 for kind in kinds if kind is not Answer.CREATED)
    assert kinds[Answer.CREATED] > 800


def test_hidden_answers_leave_the_list_only_when_asked() -> None:
    assert all(course.listed for course in courses(Behaviour(p_reset=1), 20))
    assert not any(course.listed for course in courses(Behaviour(p_reset=1, hide_list=True), 20))


@pytest.mark.parametrize(
    ("fragment", "overrides"),
    [
        ("", Overrides(1, frozenset({"ct"}), 5.0, 15.0, 15.0)),
        ("rc=2&rp=ct,rt,5xx&ct=1500&rt=3000", Overrides(2, frozenset({"ct", "rt", "5xx"}), 1.5, 3.0, 15.0)),
        ("rc=0&rp=all&tt=900", Overrides(0, frozenset({"all"}), 5.0, 15.0, 0.9)),
        ("rc=6&rp=never&ct=99&rt=15001&tt=x&e=dublin", Overrides()),
    ],
)
def test_connection_overrides_are_honoured_within_their_limits(fragment: str, overrides: Overrides) -> None:
    assert parse_overrides(fragment) == overrides


def test_the_callback_url_is_kept_to_the_byte() -> None:
    target = parse_target("http://127.0.0.1:8000/twilio/status/a%2Fb?x=%7E&y=1+2#rc=2")

    assert str(target.url) == target.signed_url == "http://127.0.0.1:8000/twilio/status/a%2Fb?x=%7E&y=1+2"


def test_options_come_from_the_command_line_and_the_environment() -> None:
    settings, behaviour = parse_options(
        ["--sent-ms", "5", "--hide-list"],
        {
            "SIMULATOR_PORT": "0",
            "TWILIO_AUTH_TOKEN": "new, old",
            "SIMULATOR_SENT_MS": "7",
            "SIMULATOR_LOSS": ".5",
        },
    )

    assert (settings.port, settings.auth_tokens) == (0, ("new", "old"))
    assert (behaviour.sent_ms, behaviour.loss, behaviour.hide_list) == (5.0, 0.5, True)


@pytest.mark.parametrize("arguments", [["--loss", "2"], ["--port", "x"], ["--p429", "0.6", "--p503", "0.6"]])
def test_nonsense_on_the_command_line_is_refused(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        parse_options(arguments, {})

    assert "error:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "changes", [{"los": 0.1}, {"loss": "0.1"}, {"loss": True}, {"hide_list": 1}, {"loss": -1}]
)
def test_nonsense_in_a_change_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Behaviour().changed(changes)
