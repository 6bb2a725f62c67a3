"""The clock of a sender: never faster than its pace by more than a message and a few milliseconds, and never slower."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.limits import Paces, default_rate
from smsapp.pacing.pace import MOST_AHEAD_US, Grant, grant, tolerance_us
from smsapp.queue.lanes import Lane
from smsapp.sending.sender_pool import choose_sender

SECOND = 1_000_000
WIDEST = MOST_AHEAD_US


def run(rate: float, sizes: list[tuple[Lane, int]], every_us: int, seconds: int) -> list[tuple[int, int]]:
    """Ask every so often, taking turns through lanes and sizes; return what went when."""
    clock, sent, turn = 0, [], 0
    for now in range(SECOND, (seconds + 1) * SECOND, every_us):
        lane, head = sizes[turn % len(sizes)]
        got = grant(clock, now_us=now, rate=rate, tolerance_us=tolerance_us(lane, rate), head=head, want=64)
        clock = got.caught_up_us
        if got.segments:
            sent.append((now, got.segments))
            turn += 1
    return sent


@pytest.mark.parametrize(("rate", "excess"), [(1.0, 0.2), (10.0, 0.05), (33.0, 0.05), (100.0, 0.05)])
def test_five_seconds_hold_at_most_five_percent_more_than_the_pace(rate: float, excess: float) -> None:
    mixed = [(Lane.BULK, 1), (Lane.OTP, 1), (Lane.NORMAL, 1)]
    sent = run(rate, mixed, every_us=25_000, seconds=30)

    fullest = max(sum(size for at, size in sent if begin <= at < begin + 5 * SECOND) for begin, _ in sent)

    assert fullest <= 5 * rate * (1 + excess)  # at one per second a single message is a fifth


@pytest.mark.parametrize("rate", [1.0, 10.0, 33.0, 100.0])
def test_a_sender_with_enough_to_do_keeps_up_its_pace(rate: float) -> None:
    sent = run(rate, [(Lane.BULK, 1)], every_us=65_000, seconds=30)

    assert sum(size for _, size in sent) >= 30 * rate * 0.99


@given(
    rate=st.floats(0.5, 200),
    asks=st.lists(
        st.tuples(st.sampled_from(Lane), st.integers(1, 10), st.integers(0, 400_000)), min_size=1, max_size=80
    ),
)
def test_whatever_is_asked_no_more_goes_than_the_time_allows(
    rate: float, asks: list[tuple[Lane, int, int]]
) -> None:
    now = begin = SECOND
    clock = total = 0
    for lane, head, pause in asks:
        now += pause
        got = grant(
            clock, now_us=now, rate=rate, tolerance_us=tolerance_us(lane, rate), head=head, want=head * 3
        )
        clock = got.caught_up_us
        total += got.segments

    largest = max(head for _, head, _ in asks)
    assert total <= (now - begin + WIDEST) * rate / SECOND + largest + 0.01


@pytest.mark.parametrize("rate", [12.0, 20.0, 100.0])
def test_behind_a_campaign_there_is_room_for_a_code(rate: float) -> None:
    def ask(lane: Lane, clock: int) -> Grant:
        return grant(clock, now_us=SECOND, rate=rate, tolerance_us=tolerance_us(lane, rate), head=1, want=64)

    clock = 0
    while (got := ask(Lane.BULK, clock)).segments:
        clock = got.caught_up_us

    assert ask(Lane.OTP, clock).segments == 1


@pytest.mark.parametrize(
    ("sender", "rate"),
    [
        ("+18885550006", 3.0),
        ("+14155550006", 1.0),
        ("+447911123456", 10.0),
        ("My Shop", 10.0),
        ("12345", 100.0),
        ("MG" + "a" * 32, None),
        ("whatsapp:+14155550006", None),
    ],
)
def test_kinds_of_senders_have_the_paces_of_twilio(sender: str, rate: float | None) -> None:
    assert default_rate(sender) == rate


def test_a_named_pace_wins_and_without_auto_nobody_else_has_one() -> None:
    assert [Paces({"12345": 7}, by_kind=True).rate(sender) for sender in ("12345", "54321")] == [7, 100]
    assert [Paces({"12345": 7}).rate(sender) for sender in ("12345", "54321")] == [7, None]
    assert not Paces({})


# --- The pool

NUMBERS = [f"+1415555{number:04d}" for number in range(2000)]
POOL = ("+15005550001", "+15005550002", "+15005550003")


def test_a_recipient_keeps_its_sender_and_the_work_is_shared() -> None:
    chosen = [choose_sender(POOL, number, Paces({})) for number in NUMBERS]

    assert chosen == [choose_sender(tuple(reversed(POOL)), number, Paces({})) for number in NUMBERS]
    assert all(570 <= chosen.count(sender) <= 770 for sender in POOL)


def test_a_sender_that_leaves_gives_away_only_its_own_recipients() -> None:
    before = {number: choose_sender(POOL, number, Paces({})) for number in NUMBERS}
    after = {number: choose_sender(POOL[:2], number, Paces({})) for number in NUMBERS}

    assert all(after[number] == sender for number, sender in before.items() if sender != POOL[2])


def test_senders_get_work_in_proportion_to_their_pace() -> None:
    paces = Paces({POOL[0]: 30, POOL[1]: 10})

    chosen = [choose_sender(POOL[:2], number, paces) for number in NUMBERS]

    assert 1400 <= chosen.count(POOL[0]) <= 1600
