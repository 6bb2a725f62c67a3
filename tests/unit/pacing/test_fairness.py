"""Who is served next: every key in turn, nobody past what a sender may, and no place left empty."""

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from smsapp.pacing.fairness import MessageQueue, ahead_of, deal, rotate
from smsapp.queue.lanes import Lane

KEYS = [UUID(int=number) for number in range(1, 6)]


def q(key: int, sender: str = "A") -> MessageQueue:
    return MessageQueue(sender, KEYS[key])


QUEUES = st.lists(
    st.builds(MessageQueue, st.sampled_from(["A", "B", "C"]), st.sampled_from(KEYS)), unique=True, max_size=12
)
ROOM = st.dictionaries(st.sampled_from(["A", "B", "C"]), st.integers(0, 10))


def counts(
    queues: list[MessageQueue], free: int, room: dict[str, int] | None = None
) -> dict[MessageQueue, int]:
    return {share.queue: share.count for share in deal(queues, free, room or {})}


def test_places_are_divided_evenly_among_keys_however_many_senders_each_uses() -> None:
    queues = [q(0, "A"), q(0, "B"), q(0, "C"), q(1, "A")]

    assert counts(queues, 12) == {q(0, "A"): 2, q(0, "B"): 2, q(0, "C"): 2, q(1, "A"): 6}


def test_a_sender_without_room_gives_its_places_to_others() -> None:
    assert counts([q(0, "A"), q(0, "B"), q(1, "A")], 6, {"A": 1}) == {q(0, "A"): 1, q(0, "B"): 5}


def test_with_fewer_places_than_keys_each_gets_its_turn() -> None:
    queues = [q(number) for number in range(5)]
    last, served = None, []

    for _ in range(5):
        shares = deal(rotate(queues, last), 2, {})
        served += [share.queue.api_key_id for share in shares]
        last = shares[-1].queue.api_key_id

    assert sorted(served) == sorted(KEYS * 2)


@given(queues=QUEUES, free=st.integers(0, 40), room=ROOM)
def test_no_place_is_given_twice_none_is_wasted_and_no_sender_overrun(
    queues: list[MessageQueue], free: int, room: dict[str, int]
) -> None:
    dealt = counts(queues, free, room)

    by_sender = {sender: sum(n for each, n in dealt.items() if each.sender == sender) for sender in room}
    assert all(by_sender[sender] <= room[sender] for sender in room)
    unpaced = any(each.sender not in room for each in queues)
    possible = sum(room[sender] for sender in {each.sender for each in queues} & room.keys())
    assert sum(dealt.values()) == (free if unpaced else min(free, possible))
    assert set(dealt) <= set(queues)


@given(queues=QUEUES, free=st.integers(0, 40))
def test_without_paces_no_key_gets_two_more_than_another(queues: list[MessageQueue], free: int) -> None:
    by_key: dict[UUID, int] = {each.api_key_id: 0 for each in queues}
    for each, count in counts(queues, free).items():
        by_key[each.api_key_id] += count

    assert not by_key or max(by_key.values()) - min(by_key.values()) <= 1


@given(queues=QUEUES, last=st.sampled_from([None, *KEYS]))
def test_rotation_loses_nobody_and_begins_after_the_last_key(
    queues: list[MessageQueue], last: UUID | None
) -> None:
    rotated = rotate(queues, last)

    assert sorted(rotated) == sorted(queues)
    after = [each for each in queues if last and each.api_key_id > last]
    assert not after or rotated[0].api_key_id == min(each.api_key_id for each in after)


def test_before_a_message_goes_what_is_higher_and_a_fair_share_of_its_lane() -> None:
    mine, other = KEYS[:2]
    backlog = {(Lane.OTP, other): 5, (Lane.NORMAL, mine): 3, (Lane.NORMAL, other): 1000}

    assert ahead_of(backlog, Lane.NORMAL, mine) == 5 + 3 + 4
    assert ahead_of(backlog, Lane.NORMAL, KEYS[2]) == 5 + 1 + 1
    assert ahead_of({}, Lane.OTP, mine) == 0
