"""Paces, with a real Redis: never too fast whoever asks, codes first, and nothing lost without Redis."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from redis import Redis

from smsapp.pacing import due as pacing_due
from smsapp.pacing.pace import MOST_AHEAD_US
from smsapp.pacing.pacer import RedisPacer
from smsapp.ports import PaceRequest
from smsapp.queue.lanes import Lane
from smsapp.runtime import Runtime
from smsapp.submission.outbound import Outbound
from smsapp.submission.send import send_messages
from smsapp.twilio.gateway import Submission
from tests.support.environment import SENDER, make_settings
from tests.support.fakes import FakeTwilio
from tests.support.messages import Accept

OTHER = "+15005550009"
SLACK_S = MOST_AHEAD_US / 1_000_000

Stamps = list[tuple[float, Outbound]]


@pytest.fixture
def pacer(redis_url: str) -> RedisPacer:
    return RedisPacer(Redis.from_url(redis_url))


@pytest.fixture
def stamps(twilio: FakeTwilio, monkeypatch: pytest.MonkeyPatch) -> Stamps:
    """When each message was handed over."""
    stamps: Stamps = []
    accept = twilio.accept

    def submit(message: Outbound) -> Submission:
        stamps.append((time.monotonic(), message))
        return accept(message)

    monkeypatch.setattr(twilio, "submit", submit)
    return stamps


def paced(rt: Runtime, **paces: float) -> Runtime:
    """Return the runtime of a worker that paces these senders."""
    urls = {"database_url": rt.settings.database_url, "redis_url": rt.settings.redis_url}
    return replace(rt, settings=make_settings(**urls, sender_pace=paces))


def due(rt: Runtime) -> int:
    with rt.sessions() as session:
        return pacing_due.count_due(session, now=rt.clock())


def test_a_drain_keeps_its_senders_pace(rt: Runtime, stamps: Stamps, accept: Accept) -> None:
    for _ in range(30):
        accept()

    sent = send_messages(paced(rt, **{SENDER: 30.0}))

    took = stamps[-1][0] - stamps[0][0]
    assert (sent, due(rt)) == (30, 0)
    assert 29 / 30 - SLACK_S - 0.05 <= took <= 2.0


def test_segments_count_not_messages(rt: Runtime, stamps: Stamps, accept: Accept) -> None:
    for _ in range(6):
        accept(body="x" * 400)  # 3 segments

    send_messages(paced(rt, **{SENDER: 30.0}))

    assert stamps[-1][0] - stamps[0][0] >= 5 * 3 / 30 - SLACK_S - 0.1


def test_a_text_larger_than_the_pace_goes_out_too(rt: Runtime, stamps: Stamps, accept: Accept) -> None:
    accept(body="x" * 1500)

    assert send_messages(paced(rt, **{SENDER: 2.0})) == 1


def test_a_slow_sender_does_not_hold_up_another(rt: Runtime, stamps: Stamps, accept: Accept) -> None:
    for _ in range(3):
        accept()
    for _ in range(20):
        accept(sender=OTHER)

    send_messages(paced(rt, **{SENDER: 4.0}))

    unpaced = [at for at, message in stamps if message.sender == OTHER]
    assert len(unpaced) == 20
    assert max(unpaced) < max(at for at, message in stamps if message.sender == SENDER)


def test_a_code_overtakes_a_campaign(rt: Runtime, stamps: Stamps, accept: Accept) -> None:
    rt = paced(rt, **{SENDER: 10.0})
    for _ in range(20):
        accept(lane=Lane.BULK)
    campaign = threading.Thread(target=send_messages, args=(rt, 0, Lane.BULK))

    campaign.start()
    while len(stamps) < 3:
        time.sleep(0.01)
    asked = time.monotonic()
    code = accept(lane=Lane.OTP)
    send_messages(rt, 0, Lane.OTP)
    took = next(at for at, message in stamps if message.id == code) - asked
    campaign.join()

    assert took < 0.3
    assert len(stamps) == 21


def test_without_redis_paced_messages_stay_and_others_go(
    rt: Runtime, twilio: FakeTwilio, accept: Accept
) -> None:
    nobody = RedisPacer(Redis.from_url("redis://127.0.0.1:1", socket_connect_timeout=0.5))
    accept()
    other = accept(sender=OTHER)

    send_messages(replace(paced(rt, **{SENDER: 10.0}), pacer=nobody))

    assert [sent.id for sent in twilio.sent] == [other]
    assert due(rt) == 1


# --- The clock itself


def test_many_workers_together_keep_one_pace(redis_url: str, pacer: RedisPacer) -> None:
    until = time.monotonic() + 1.5

    def work(_number: int) -> int:
        mine = RedisPacer(Redis.from_url(redis_url))
        total = 0
        while time.monotonic() < until:
            total += mine.take(Lane.BULK, [PaceRequest(SENDER, 50.0, 1, 32)])[SENDER]
            time.sleep(0.002)
        return total

    with ThreadPoolExecutor(4) as workers:
        total = sum(workers.map(work, range(4)))

    assert 50 * 1.4 <= total <= 50 * (1.55 + SLACK_S) + 1


def test_what_was_not_needed_is_given_back(pacer: RedisPacer) -> None:
    def take() -> int:
        return pacer.take(Lane.OTP, [PaceRequest(SENDER, 20.0, 3, 3)])[SENDER]

    first, refused = take(), 0
    while take():
        refused += 1
    pacer.settle(SENDER, 20.0, -3)

    assert (first, take()) == (3, 3)
    assert refused <= 1


def test_debt_is_waited_off(pacer: RedisPacer) -> None:
    pacer.settle(SENDER, 10.0, 4)

    assert pacer.take(Lane.OTP, [PaceRequest(SENDER, 10.0, 1, 1)]) == {SENDER: 0}


def test_who_was_refused_goes_before_lower_lanes(pacer: RedisPacer) -> None:
    ask = [PaceRequest(SENDER, 10.0, 1, 1)]
    pacer.settle(SENDER, 10.0, 10)
    refused = pacer.take(Lane.OTP, ask)
    pacer.settle(SENDER, 10.0, -10)

    granted = [pacer.take(lane, ask)[SENDER] for lane in (Lane.BULK, Lane.NORMAL, Lane.OTP)]

    assert (refused, granted) == ({SENDER: 0}, [0, 0, 1])
