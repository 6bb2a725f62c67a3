"""How fast each sender is by default, and which sender of a pool a recipient hears from."""

import pytest

from smsapp.limits import Paces, default_rate
from smsapp.sending.sender_pool import choose_sender


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


def test_a_phone_hears_from_one_sender_whatever_its_spelling() -> None:
    for number in range(100):
        tail = f"{number:04d}{number:04d}"
        for one, other in [
            (f"+55418888{tail[:4]}", f"+554198888{tail[:4]}"),
            (f"+5411{tail}", f"+54911{tail}"),
            (f"+5215{tail}1", f"+525{tail}1"),
        ]:
            assert choose_sender(POOL, one, Paces({})) == choose_sender(POOL, other, Paces({}))
