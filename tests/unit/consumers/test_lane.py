"""What a consumer may be sent now."""

from uuid import UUID, uuid4

from smsapp.consumers.lane import Lane


def lane_of(count: int, *, most: int = 4) -> tuple[Lane[str, UUID], list[UUID]]:
    """Return a lane with so many deliveries, and their ids."""
    lane: Lane[str, UUID] = Lane("consumer", most)
    ids = [uuid4() for _ in range(count)]
    for delivery_id in ids:
        lane.append(delivery_id, delivery_id)
    return lane, ids


def started(lane: Lane[str, UUID], room: int = 100) -> list[UUID]:
    """Start all that may start."""
    found = []
    while delivery_id := lane.start(room):
        found.append(delivery_id)
    return found


def test_deliveries_start_in_order_up_to_the_limit_and_the_room() -> None:
    lane, ids = lane_of(10)

    assert started(lane, room=2) == ids[:2]
    assert started(lane) == ids[2:4]
    lane.succeed(ids[0], 0.01)
    assert started(lane) == ids[4:5]


def test_after_a_failure_nothing_starts_until_it_was_recorded() -> None:
    lane, ids = lane_of(10)
    started(lane)

    lane.fail(ids[0])
    lane.succeed(ids[1], 0.01)
    assert started(lane) == []

    lane.settle(ids[0])
    assert started(lane) == []  # the limit is two now, and two are in flight
    lane.succeed(ids[2], 0.01)
    assert started(lane) == ids[4:5]


def test_one_that_keeps_failing_gets_one_at_a_time() -> None:
    lane, ids = lane_of(3)
    lane.is_probed = True

    assert started(lane) == ids[:1]


def test_all_that_the_database_still_calls_due_is_known() -> None:
    lane, ids = lane_of(6)
    started(lane)
    lane.succeed(ids[0], 0.01)
    lane.fail(ids[1])

    assert set(lane.known()) == set(ids)
    assert not lane.is_idle

    lane.settle(ids[0])
    assert set(lane.known()) == set(ids[1:])


def test_a_lane_that_was_cleared_waits_for_the_database_to_be_looked_at() -> None:
    lane, ids = lane_of(6)

    lane.clear()

    assert (len(lane), lane.is_low) == (0, False)
    assert ids
