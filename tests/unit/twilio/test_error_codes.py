"""The error table against Twilio's codes, and the verdicts on refused requests."""

from dataclasses import FrozenInstanceError
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.twilio.error_codes import FAILURES, Actor, Failure, FailureClass, Scope, explain
from smsapp.twilio.judgement import BreakerScope, SubmissionVerdict, judge_refusal

# The codes that messages meet and the class of each, from https://www.twilio.com/docs/api/errors, Nov 2026.
EXPECTED: dict[FailureClass, set[int]] = {
    FailureClass.RETRY_LATER: {
        *(20409, 20429, 21611),
        *(30001, 30003, 30017, 30020, 30021, 30022, 30023, 30036, 30450, 30453, 30500, 30610),
        *(63010, 63012, 63017, 63018),
    },
    FailureClass.RECIPIENT: {
        *(21211, 21214, 21217, 21268, 21614, 21635),
        *(30004, 30005, 30006, 63003, 63024),
    },
    FailureClass.CONTENT: {
        *(21602, 21605, 21617, 21618, 21620, 21623, 21654, 21655, 21656, 21658),
        *(30007, 30010, 30011, 30019, 63013, 63016),
    },
    FailureClass.SENDER: {
        *(20001, 20404, 20422, 20423, 20426),
        *(21212, 21266, 21401, 21601, 21603, 21604, 21606, 21609, 21612, 21616, 21621, 21622, 21624, 21627),
        *(21652, 21657, 21659, 21660, 21661, 21701, 21702, 21703, 21704, 21705, 21709),
        *(30012, 30013, 30014, 30015, 30016, 30018, 30024, 30028, 30029, 30030, 30031, 30032, 30034, 30035),
        *(30042, 30045, 30400, 30404, 30409),
        *(30440, 30441, 30442, 30443, 30444, 30445, 30446, 30447, 30448, 30449),
        *(30880, 30881, 30882, 30883, 30884, 30885, 30886, 30887, 30888, 30889),
        *(30890, 30891, 30892, 30893, 30894, 30895, 30896, 30897, 30898),
        *(35111, 35114, 35118, 35125, 35126, 63007, 90007),
    },
    FailureClass.ACCOUNT: {
        *(20003, 20005, 20006, 20008, 20010, 20403, 21219, 21408, 21607, 21608),
        *(30002, 30025, 30026, 30027, 30033, 30037, 63038),
    },
    FailureClass.OPT_OUT: {21610, 63014, 63033},
    FailureClass.AMBIGUOUS: {
        *(20500, 20503, 21619, 30008, 30410),
        *(30009, 30038, 30039),  # about incoming messages
        *(30040, 30041, 30043, 30044, 30454),  # seen, but not explained in public
    },
}
CLASS_OF = {code: failure_class for failure_class, codes in EXPECTED.items() for code in codes}


@pytest.mark.parametrize(("code", "failure_class"), sorted(CLASS_OF.items()))
def test_every_code_of_twilio_has_a_row_of_the_right_class(code: int, failure_class: FailureClass) -> None:
    failure = FAILURES[code]

    assert failure.code == code
    assert failure.failure_class is failure_class


def test_the_table_has_no_code_that_this_list_does_not_know() -> None:
    assert set(FAILURES) == set(CLASS_OF)
    assert sum(len(codes) for codes in EXPECTED.values()) == len(CLASS_OF)


@pytest.mark.parametrize("failure", FAILURES.values(), ids=lambda failure: str(failure.code))
def test_a_row_speaks_in_whole_sentences(failure: Failure) -> None:
    assert failure.sentence[0].isupper()
    assert failure.sentence.endswith(".")
    assert failure.sentence.count(".") == 1  # one sentence
    assert failure.advice[0].isupper()
    assert failure.advice.endswith(".")
    assert failure.doc_url == f"https://www.twilio.com/docs/api/errors/{failure.code}"


@pytest.mark.parametrize("failure", FAILURES.values(), ids=lambda failure: str(failure.code))
def test_what_may_be_sent_again_is_marked_so_and_nothing_else(failure: Failure) -> None:
    passing = failure.failure_class is FailureClass.RETRY_LATER

    assert (failure.resend_after is None) == (failure.max_resends == 0)
    assert failure.retryable == (passing or failure.max_resends > 0)


@pytest.mark.parametrize(
    "failure_class", [FailureClass.OPT_OUT, FailureClass.RECIPIENT, FailureClass.CONTENT]
)
def test_what_another_try_cannot_mend_is_never_sent_again(failure_class: FailureClass) -> None:
    rows = [failure for failure in FAILURES.values() if failure.failure_class is failure_class]

    assert not any(failure.retryable for failure in rows)


@pytest.mark.parametrize("code", [20500, 20503, 30410])
def test_what_may_have_gone_out_is_never_sent_again_by_itself(code: int) -> None:
    assert not FAILURES[code].retryable


def test_the_table_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        FAILURES[1] = FAILURES[30003]  # type: ignore[index]
    with pytest.raises(FrozenInstanceError):
        FAILURES[30003].retryable = False  # type: ignore[misc]


def test_a_phone_that_is_off_is_tried_again_twice_and_less_and_less_often() -> None:
    failure = FAILURES[30003]

    assert failure.sentence == "The phone is switched off or out of coverage."
    assert [failure.resend_delay(resends) for resends in range(4)] == [
        timedelta(minutes=30),
        timedelta(hours=1),
        None,
        None,
    ]


@pytest.mark.parametrize(
    ("code", "after", "times"),
    [
        (30001, timedelta(minutes=10), 3),
        (30008, timedelta(minutes=30), 1),
        (30017, timedelta(minutes=5), 3),
        (30022, timedelta(minutes=5), 3),
        (30023, timedelta(hours=8), 2),
        (30450, timedelta(minutes=45), 2),
        (30453, timedelta(hours=4), 2),
        (30500, timedelta(minutes=2), 1),
        (30610, timedelta(hours=11), 1),
        (63038, timedelta(hours=12), 2),
        (21610, None, 0),
        (30007, None, 0),
        (30036, None, 0),  # it was too late already
    ],
)
def test_a_lost_message_is_sent_again_when_its_fault_has_had_time_to_pass(
    code: int, after: timedelta | None, times: int
) -> None:
    failure = FAILURES[code]

    assert (failure.resend_after, failure.max_resends) == (after, times)
    assert failure.resend_delay(0) == after
    assert failure.resend_delay(times) is None


@pytest.mark.parametrize("hour_refused", [21, 22, 23, 0, 1, 2, 3, 4, 5, 6, 7])
def test_a_message_refused_at_night_goes_out_by_day(hour_refused: int) -> None:
    wait = FAILURES[30610].resend_after
    assert wait is not None

    first, last = timedelta(hours=hour_refused) + wait, timedelta(hours=hour_refused, minutes=59) + wait

    assert 8 <= first.seconds // 3600 <= last.seconds // 3600 < 21


@pytest.mark.parametrize(
    ("code", "http_status", "status", "failure_class", "retryable", "max_resends"),
    [
        pytest.param(99999, None, "failed", FailureClass.AMBIGUOUS, False, 0, id="unknown, failed"),
        pytest.param(
            99999, None, "undelivered", FailureClass.RETRY_LATER, True, 1, id="unknown, undelivered"
        ),
        pytest.param(99999, None, None, FailureClass.AMBIGUOUS, False, 0, id="unknown, nothing else said"),
        pytest.param(None, None, "failed", FailureClass.AMBIGUOUS, False, 0, id="none, failed"),
        pytest.param(None, None, "undelivered", FailureClass.RETRY_LATER, True, 1, id="none, undelivered"),
        pytest.param(99999, 400, None, FailureClass.CONTENT, False, 0, id="HTTP 400"),
        pytest.param(99999, 422, None, FailureClass.CONTENT, False, 0, id="HTTP 422"),
        pytest.param(99999, 401, None, FailureClass.ACCOUNT, False, 0, id="HTTP 401"),
        pytest.param(99999, 403, None, FailureClass.ACCOUNT, False, 0, id="HTTP 403"),
        pytest.param(404, 404, None, FailureClass.SENDER, False, 0, id="HTTP 404 from some proxy"),
        pytest.param(None, 408, None, FailureClass.RETRY_LATER, True, 0, id="HTTP 408"),
        pytest.param(None, 429, None, FailureClass.RETRY_LATER, True, 0, id="HTTP 429"),
        pytest.param(500, 500, None, FailureClass.AMBIGUOUS, False, 0, id="HTTP 500"),
        pytest.param(None, 504, None, FailureClass.AMBIGUOUS, False, 0, id="HTTP 504"),
    ],
)
def test_what_is_not_in_the_table_gets_a_cautious_default(
    code: int | None,
    http_status: int | None,
    status: str | None,
    failure_class: FailureClass,
    retryable: bool,
    max_resends: int,
) -> None:
    failure = explain(code, http_status=http_status, status=status)

    assert failure.code == (code or 0)
    assert failure.failure_class is failure_class
    assert (failure.retryable, failure.max_resends) == (retryable, max_resends)


@pytest.mark.parametrize("status", ["failed", "undelivered"])
def test_a_failure_without_a_code_says_so(status: str) -> None:
    failure = explain(None, status=status)

    assert failure.sentence == "No reason was given."
    assert failure.doc_url == "https://www.twilio.com/docs/api/errors"


@given(
    code=st.sampled_from(sorted(FAILURES)),
    http_status=st.none() | st.integers(400, 599),
    status=st.sampled_from([None, "failed", "undelivered", "delivered"]),
)
def test_a_known_code_means_the_same_wherever_it_comes_from(
    code: int, http_status: int | None, status: str | None
) -> None:
    assert explain(code, http_status=http_status, status=status) is FAILURES[code]


ACCOUNT, SENDER = BreakerScope.ACCOUNT, BreakerScope.SENDER


@pytest.mark.parametrize(
    ("code", "http_status", "verdict", "breaker", "slows"),
    [
        pytest.param(20429, 429, SubmissionVerdict.RETRY, None, ACCOUNT, id="too many requests at once"),
        pytest.param(None, 429, SubmissionVerdict.RETRY, None, ACCOUNT, id="429 without a code"),
        pytest.param(99999, 429, SubmissionVerdict.RETRY, None, ACCOUNT, id="429 with an unknown code"),
        pytest.param(21611, 429, SubmissionVerdict.RETRY, None, SENDER, id="sender's queue full"),
        pytest.param(
            21611, 400, SubmissionVerdict.RETRY, None, SENDER, id="sender's queue full, as it once came"
        ),
        pytest.param(63018, 429, SubmissionVerdict.RETRY, None, SENDER, id="channel rate"),
        pytest.param(
            63038, 429, SubmissionVerdict.RETRY, ACCOUNT, None, id="daily limit: parked, not hammered"
        ),
        pytest.param(20003, 401, SubmissionVerdict.RETRY, ACCOUNT, None, id="bad credentials"),
        pytest.param(20005, 403, SubmissionVerdict.RETRY, ACCOUNT, None, id="account not active"),
        pytest.param(20006, 403, SubmissionVerdict.RETRY, ACCOUNT, None, id="access denied"),
        pytest.param(20403, 403, SubmissionVerdict.RETRY, ACCOUNT, None, id="forbidden"),
        pytest.param(20008, 403, SubmissionVerdict.RETRY, ACCOUNT, None, id="test credentials"),
        pytest.param(20010, 403, SubmissionVerdict.RETRY, ACCOUNT, None, id="action disabled"),
        pytest.param(30002, 400, SubmissionVerdict.RETRY, ACCOUNT, None, id="account suspended"),
        pytest.param(401, 401, SubmissionVerdict.RETRY, ACCOUNT, None, id="401 without a code"),
        pytest.param(99999, 403, SubmissionVerdict.RETRY, ACCOUNT, None, id="403 with an unknown code"),
        pytest.param(20404, 404, SubmissionVerdict.RETRY, ACCOUNT, None, id="account's path unknown"),
        pytest.param(404, 404, SubmissionVerdict.RETRY, ACCOUNT, None, id="404 of some proxy"),
        pytest.param(21212, 400, SubmissionVerdict.RETRY, SENDER, None, id="From invalid"),
        pytest.param(21401, 400, SubmissionVerdict.RETRY, SENDER, None, id="From cannot send SMS"),
        pytest.param(21601, 400, SubmissionVerdict.RETRY, SENDER, None, id="From not of the account"),
        pytest.param(21660, 400, SubmissionVerdict.RETRY, SENDER, None, id="From of another account"),
        pytest.param(21661, 400, SubmissionVerdict.RETRY, SENDER, None, id="From not SMS-capable"),
        pytest.param(21701, 404, SubmissionVerdict.RETRY, SENDER, None, id="no such Messaging Service"),
        pytest.param(21702, 400, SubmissionVerdict.RETRY, SENDER, None, id="Messaging Service unavailable"),
        pytest.param(
            21704, 400, SubmissionVerdict.RETRY, SENDER, None, id="Messaging Service without senders"
        ),
        pytest.param(21705, 400, SubmissionVerdict.RETRY, SENDER, None, id="Messaging Service SID invalid"),
        pytest.param(
            21606, 400, SubmissionVerdict.REFUSED, None, None, id="From unusable for this destination"
        ),
        pytest.param(21612, 400, SubmissionVerdict.REFUSED, None, None, id="no route for this pair"),
        pytest.param(21659, 400, SubmissionVerdict.REFUSED, None, None, id="short code abroad"),
        pytest.param(
            21703, 400, SubmissionVerdict.REFUSED, None, None, id="no pool sender for this destination"
        ),
        pytest.param(21408, 403, SubmissionVerdict.REFUSED, None, None, id="one country not enabled"),
        pytest.param(21608, 400, SubmissionVerdict.REFUSED, None, None, id="one recipient not verified"),
        pytest.param(21211, 400, SubmissionVerdict.REFUSED, None, None, id="To invalid"),
        pytest.param(21610, 400, SubmissionVerdict.REFUSED, None, None, id="opted out"),
        pytest.param(21617, 400, SubmissionVerdict.REFUSED, None, None, id="too long"),
        pytest.param(99999, 400, SubmissionVerdict.REFUSED, None, None, id="400 with an unknown code"),
        pytest.param(None, 413, SubmissionVerdict.REFUSED, None, None, id="413 without a code"),
        pytest.param(20409, 409, SubmissionVerdict.RETRY, None, None, id="conflict"),
        pytest.param(None, 408, SubmissionVerdict.RETRY, None, None, id="request did not arrive in full"),
        pytest.param(21619, 400, SubmissionVerdict.REFUSED, None, None, id="record not created, refused"),
        pytest.param(21619, 500, SubmissionVerdict.UNKNOWN, None, None, id="record not created, perhaps"),
        pytest.param(20500, 500, SubmissionVerdict.UNKNOWN, None, None, id="internal error"),
        pytest.param(20503, 503, SubmissionVerdict.UNKNOWN, None, None, id="unavailable"),
        pytest.param(502, 502, SubmissionVerdict.UNKNOWN, None, None, id="502 of some gateway"),
        pytest.param(
            20003, 500, SubmissionVerdict.UNKNOWN, None, None, id="a 5xx is unknown whatever its code"
        ),
        pytest.param(None, 302, SubmissionVerdict.UNKNOWN, None, None, id="a redirect promises nothing"),
    ],
)
def test_a_refused_request_is_judged(
    code: int | None,
    http_status: int,
    verdict: SubmissionVerdict,
    breaker: BreakerScope | None,
    slows: BreakerScope | None,
) -> None:
    judgement = judge_refusal(code, http_status)

    assert (judgement.verdict, judgement.breaker, judgement.slows) == (verdict, breaker, slows)
    assert judgement.failure == explain(code, http_status=http_status)


@given(code=st.none() | st.sampled_from(sorted(FAILURES)) | st.integers(0, 99999), http=st.integers(500, 599))
def test_nothing_with_a_5xx_is_ever_retried_blindly(code: int | None, http: int) -> None:
    assert judge_refusal(code, http).verdict is SubmissionVerdict.UNKNOWN


@given(code=st.none() | st.sampled_from(sorted(FAILURES)) | st.integers(0, 99999), http=st.integers(400, 499))
def test_a_4xx_was_never_processed_and_only_a_kept_message_parks_or_slows_others(
    code: int | None, http: int
) -> None:
    judgement = judge_refusal(code, http)

    assert judgement.verdict is not SubmissionVerdict.UNKNOWN
    assert judgement.breaker is None or judgement.slows is None
    if judgement.verdict is SubmissionVerdict.REFUSED:
        assert judgement.breaker is None
        assert judgement.slows is None


@given(code=st.sampled_from(sorted(FAILURES)))
def test_a_fault_of_one_message_never_parks_the_others(code: int) -> None:
    judgement = judge_refusal(code, 400)

    if judgement.failure.scope in {Scope.RECIPIENT, Scope.CONTENT, Scope.CARRIER}:
        assert judgement.breaker is None
        assert judgement.slows is None


def test_whoever_must_act_fits_the_fault() -> None:
    assert FAILURES[21211].actor is Actor.CALLER
    assert FAILURES[21610].actor is Actor.RECIPIENT
    assert FAILURES[30032].actor is Actor.OPERATOR
    assert FAILURES[30003].actor is Actor.NOBODY
