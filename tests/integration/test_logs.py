"""What the log tells: each message's life, by ids that can be searched for, and nothing that is nobody's business."""

import io
import json
import logging
import sys
import traceback
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest
import structlog
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from smsapp import logs
from smsapp.callbacks import spool
from smsapp.callbacks import track as track_module
from smsapp.callbacks.replay import replay_dead_letters
from smsapp.config import Settings
from smsapp.ids import public_id
from smsapp.maintenance import sweep
from smsapp.reconciliation.check_ledger import check_histories, check_ledger
from smsapp.reconciliation.reconcile import reconcile
from smsapp.reconciliation.settle import Decision, decide_unconfirmed
from smsapp.runtime import Runtime
from smsapp.submission.expire_claims import expire_claims
from smsapp.submission.outbound import Hold, Outbound
from smsapp.submission.record import record_submissions, submit
from smsapp.submission.send import send_messages
from smsapp.twilio.error_codes import OwnCode
from smsapp.twilio.gateway import Submission, TwilioUnavailableError
from tests.support.callbacks import append, callback, raw_callback, receive
from tests.support.environment import AUTH_TOKEN, SENDER, make_settings
from tests.support.fakes import START, FakeClock, FakeTwilio, refuse
from tests.support.messages import Accept, claim, stored

Line = dict[str, Any]

TO = "+14155557319"
BODY = "canary-4f1c your code is 99417"
SECRETS = (TO, TO[1:], SENDER, SENDER[1:], "canary-4f1c", "99417", AUTH_TOKEN)


class Lines:
    """Stands in for every logger of ours, and remembers what it is told, before anything could be hidden."""

    def __init__(self) -> None:
        self.lines: list[Line] = []

    def __getattr__(self, level: str) -> Any:
        def write(event: str, **facts: Any) -> None:
            trace = traceback.format_exc() if level == "exception" else None
            context = structlog.contextvars.get_contextvars()
            self.lines.append({"level": level, "event": event, "trace": trace} | context | facts)

        return write

    def bind(self) -> "Lines":
        return self

    def named(self, event: str) -> list[Line]:
        return [line for line in self.lines if line["event"] == event]


@pytest.fixture
def lines(monkeypatch: pytest.MonkeyPatch) -> Lines:
    """Every line that any of our modules logs."""
    lines = Lines()
    ours = [module for name, module in sys.modules.items() if name.startswith("smsapp.")]
    loggers = [module for module in ours if hasattr(module, "log")]
    assert len(loggers) >= 10
    for module in loggers:
        monkeypatch.setattr(module, "log", lines)
    return lines


def test_no_line_of_a_whole_life_tells_a_text_a_number_or_a_token(
    rt: Runtime,
    twilio: FakeTwilio,
    clock: FakeClock,
    accept: Accept,
    lines: Lines,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)

    def write_to(**draft: Any) -> Any:
        return accept(TO, BODY, **draft)

    def broken(_message: Outbound) -> Submission:
        raise ZeroDivisionError

    delivered = write_to()
    send_messages(rt)
    sid = stored(rt, delivered).twilio_sid
    form = {"MessageSid": sid, "To": TO, "From": SENDER, "Body": BODY}
    words = ["sent", "delivered", "some_new_word", ""]
    receive(
        rt, *(raw_callback(rt, public_id(delivered), urlencode(form | {"MessageStatus": w})) for w in words)
    )
    receive(rt, raw_callback(rt, None, urlencode(form), kind="inbound"))
    receive(rt, raw_callback(rt, None, urlencode(form | {"MessageSid": ""}), kind="inbound"))
    receive(
        rt,
        raw_callback(rt, f"{TO}", urlencode(form | {"MessageSid": "SM" + "0" * 32, "MessageStatus": "sent"})),
    )
    with rt.sessions.begin() as session:
        spool.add(session, raw_callback(rt, None, urlencode(form)), reason=spool.REDIS_UNAVAILABLE)
    for behaviour in (
        refuse(21211, 400),
        twilio.unreachable,
        twilio.lose,
        broken,
        refuse(21601, 400),
        refuse(20429, 429),
        refuse(20003, 401),
    ):
        write_to()
        twilio.behaviours = [behaviour]
        send_messages(rt)
        clock.advance(timedelta(minutes=2))
        sweep(rt)
        reconcile(rt)
    write_to()
    claim(rt)
    clock.advance(timedelta(minutes=20))
    sweep(rt)
    twilio.unavailable = TwilioUnavailableError("http_429", code=20429, status=429)
    reconcile(rt)
    replay_dead_letters(rt)
    check_ledger(rt)
    check_histories(rt)

    said = [json.dumps(line, default=str) for line in lines.lines]
    said += [record.getMessage() for record in caplog.records]
    said += capfd.readouterr()
    told = {line["event"] for line in lines.lines}
    assert [(secret, text) for secret in SECRETS for text in said if secret in text] == []
    assert told >= {
        "message_submitted",
        "status_changed",
        "dead_letter",
        "dead_letter_still_dead",
        "submission_broke",
        "sending_parked",
        "sending_resumed",
        "reconcile_paused",
        "swept",
    }


def test_every_line_about_a_message_can_be_found_by_its_ids(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, lines: Lines
) -> None:
    message_id = accept(request_id="req-1")
    send_messages(rt)
    sid = stored(rt, message_id).twilio_sid
    receive(rt, *(callback(rt, message_id, word) for word in ("sent", "sent", "queued")))
    receive(rt, callback(rt, message_id, "undelivered", ErrorCode="30005"))

    about = [line for line in lines.lines if "message_id" in line]

    assert {line["message_id"] for line in about} == {public_id(message_id)}
    assert {line["request_id"] for line in about} == {"req-1"}
    assert {line["twilio_sid"] for line in about} == {sid}
    assert [(line["event"], line.get("status")) for line in about] == [
        ("message_submitted", None),
        ("status_changed", "sent"),
        ("status_changed", "undelivered"),
    ]
    assert about[-1] == {
        "level": "info",
        "event": "status_changed",
        "trace": None,
        "message_id": public_id(message_id),
        "request_id": "req-1",
        "twilio_sid": sid,
        "attempt": 1,
        "was": "sent",
        "status": "undelivered",
        "outcome": "undelivered",
        "error_code": 30005,
        "source": "callback",
    }


@pytest.mark.parametrize(
    ("changes", "event", "code", "cause", "until"),
    [
        ({"hold": Hold(START + timedelta(hours=1), OwnCode.COUNTRY_PARKED)}, "message_held", 22, "country_parked", 1),
        ({"hold": Hold(START + timedelta(hours=2), OwnCode.DAILY_CAP)}, "message_held", 20, "daily_cap", 2),
        ({"hold": Hold(START + timedelta(hours=2), OwnCode.COUNTRY_CAP)}, "message_held", 21, "country_cap", 2),
        ({"to": "+442071838750", "quiet_hours": "11:00-15:00"}, "message_held", 7, "quiet_hours", 3),
        ({"opted_out": True}, "message_not_submitted", 6, "opted_out", None),
        ({"deliver_by": START}, "message_not_submitted", 5, "too_late", None),
        ({"body": ""}, "message_not_submitted", 8, "text_removed", None),
    ],
)  # fmt: skip
def test_what_never_left_is_not_called_submitted(
    rt: Runtime,
    twilio: FakeTwilio,
    accept: Accept,
    lines: Lines,
    changes: dict[str, Any],
    event: str,
    code: int,
    cause: str,
    until: int | None,
) -> None:
    message_id = accept(request_id="req-1")
    outbound = replace(claim(rt)[0], **changes)

    record_submissions(rt, [(outbound, submit(rt, outbound))])

    [line] = [line for line in lines.lines if line.get("message_id") == public_id(message_id)]
    expected = {"event": event, "request_id": "req-1", "attempt": 1, "error_code": code, "cause": cause}
    if until is not None:
        expected["until"] = f"2026-11-23T{12 + until}:00:00.000Z"
    assert line == {"level": "info", "trace": None, "message_id": public_id(message_id)} | expected
    assert twilio.sent == []


def test_whatever_changes_a_status_says_so(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, lines: Lines
) -> None:
    polled, found, held, failed = (accept(f"+1415555010{number}") for number in range(4))
    resent = accept(resend_after_failure=True)
    fates = {
        polled: twilio.accept,
        found: twilio.accept_silently,
        held: twilio.lose,
        failed: twilio.lose,
        resent: twilio.accept,
    }
    twilio.behaviours = [lambda message: fates[message.id](message)] * len(fates)
    send_messages(rt)
    sid = stored(rt, polled).twilio_sid
    assert sid
    twilio.records[sid] = replace(twilio.records[sid], status="delivered")
    lines.lines.clear()

    receive(rt, callback(rt, resent, "failed", ErrorCode="30500"))
    clock.advance(timedelta(minutes=2))
    decide_unconfirmed(rt, failed, Decision.FAIL)
    reconcile(rt)
    clock.advance(timedelta(minutes=8))
    reconcile(rt)
    claim(rt)
    clock.advance(rt.settings.send_lease)
    expire_claims(rt)

    changed = {
        (line["message_id"], line["was"], line["status"], line["source"])
        for line in lines.named("status_changed")
    }
    assert changed == {
        (public_id(resent), "queued", "failed", "callback"),
        (public_id(resent), "failed", "pending", "system"),
        (public_id(resent), "submitting", "unconfirmed", "system"),
        (public_id(failed), "unconfirmed", "failed", "operator"),
        (public_id(polled), "queued", "delivered", "poll"),
        (public_id(found), "unconfirmed", "queued", "poll"),
        (public_id(held), "unconfirmed", "unconfirmed", "system"),
    }
    outcomes = [
        line["outcome"] for line in lines.named("status_changed") if line["message_id"] == public_id(held)
    ]
    assert outcomes == ["unconfirmed"]


def test_a_dead_letter_names_the_message_that_it_is_about(rt: Runtime, accept: Accept, lines: Lines) -> None:
    target = public_id(accept())

    receive(rt, raw_callback(rt, target, "no=status"))

    (line,) = lines.named("dead_letter")
    assert (line["level"], line["message_id"]) == ("error", target)
    assert line["cause"] == "InvalidCallbackError: a status callback without MessageStatus"


def test_nothing_is_said_to_have_changed_that_was_not_committed(
    rt: Runtime, accept: Accept, lines: Lines, monkeypatch: pytest.MonkeyPatch
) -> None:
    message_id = accept()
    send_messages(rt)
    append(rt, callback(rt, message_id, "sent"))
    rt.stopping.set()
    entries = rt.stream.read(10)

    def away(_connection: Any) -> None:
        raise OperationalError("COMMIT", {}, Exception("the server closed the connection"))

    engine = rt.sessions.kw["bind"]
    event.listen(engine, "commit", away)
    with pytest.raises(OperationalError):
        track_module.persist_entries(rt, entries)
    event.remove(engine, "commit", away)

    assert lines.named("status_changed") == []
    assert stored(rt, message_id).status == "queued"


# As lines.


@pytest.fixture
def written() -> Iterator[tuple[io.StringIO, Settings]]:
    """Where the log goes, and the settings that it is set up with; all as before afterwards."""
    root = logging.getLogger()
    before = root.handlers, root.level
    levels = {name: logging.getLogger(name).level for name in logs._QUIET}
    yield io.StringIO(), make_settings(log_format="json", log_level="INFO")
    structlog.reset_defaults()
    root.handlers, level = before
    root.setLevel(level)
    for name, quiet in levels.items():
        logging.getLogger(name).setLevel(quiet)


class Writes(io.StringIO):
    """Remembers each write of its own: those of processes with one output may end up between two of ours."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[str] = []

    def write(self, text: str) -> int:
        self.made.append(text)
        return super().write(text)


def test_a_line_is_one_write(written: tuple[io.StringIO, Settings]) -> None:
    stream = Writes()
    logs.configure(written[1], stream=stream)

    structlog.get_logger("test").info("one")
    logging.getLogger("test").warning("two")

    assert [json.loads(each)["event"] for each in stream.made] == ["one", "two"]
    assert all(each.endswith("\n") for each in stream.made)


def test_a_line_is_one_json_object(written: tuple[io.StringIO, Settings]) -> None:
    stream, settings = written
    logs.configure(settings, stream=stream)

    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        structlog.get_logger("smsapp.test").info(
            "happened", message_id="msg_1", twilio_sid=None, text="Grüße\n💥"
        )
    logging.getLogger("smsapp.other").warning("from %s", "elsewhere")

    ours, theirs = (json.loads(line) for line in stream.getvalue().splitlines())
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {
        "event": "happened",
        "level": "info",
        "request_id": "req-1",
        "message_id": "msg_1",
        "text": "Grüße\n💥",
    }
    assert (theirs["event"], theirs["level"], theirs["logger"]) == (
        "from elsewhere",
        "warning",
        "smsapp.other",
    )


def test_what_must_not_be_told_is_hidden_should_a_line_carry_it(
    written: tuple[io.StringIO, Settings],
) -> None:
    stream, settings = written
    logs.configure(settings, stream=stream)

    structlog.get_logger("smsapp.test").info("slipped", body=BODY, auth_token=AUTH_TOKEN, signature="s3cret")

    line = json.loads(stream.getvalue())
    assert (line["body"], line["auth_token"], line["signature"]) == ("[hidden]",) * 3


def test_a_defect_is_told_with_its_trace(written: tuple[io.StringIO, Settings]) -> None:
    stream, settings = written
    logs.configure(settings, stream=stream)

    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger("smsapp.test").exception("broke")

    line = json.loads(stream.getvalue())
    assert line["exception"].endswith("ZeroDivisionError")
    assert "test_a_defect_is_told_with_its_trace" in line["exception"]
    assert line["level"] == "error"


@pytest.mark.parametrize("log_format", ["json", "console"])
def test_no_line_tells_what_an_error_says(written: tuple[io.StringIO, Settings], log_format: str) -> None:
    """PostgreSQL quotes the row that it refuses, a parser the request."""
    stream, settings = written
    logs.configure(settings.model_copy(update={"log_format": log_format}), stream=stream)
    celerys, gunicorns = logging.getLogger("celery.app.trace"), logging.getLogger("gunicorn.error")

    try:
        try:
            _ = {}[TO]
        except KeyError:
            int(BODY)
    except ValueError as error:
        structlog.get_logger("smsapp.test").exception("broke")
        celerys.error("Task %(name)s: %(exc)s", {"name": "smsapp.send", "exc": repr(error)}, exc_info=True)
        gunicorns.error("Closing: %s", error)

    told = stream.getvalue()
    assert [secret for secret in SECRETS if secret in told] == []
    for kind in ("KeyError", "ValueError", "Task smsapp.send: ValueError", "Closing: ValueError"):
        assert kind in told


def test_less_is_told_at_a_higher_level(written: tuple[io.StringIO, Settings]) -> None:
    stream, settings = written
    logs.configure(settings.model_copy(update={"log_level": "WARNING"}), stream=stream)

    structlog.get_logger("smsapp.test").info("happened")
    structlog.get_logger("smsapp.test").warning("warned")

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["warned"]


def test_the_next_attempt_of_a_plan_is_logged_like_any_change(
    rt: Runtime, twilio: FakeTwilio, accept: Accept, lines: Lines
) -> None:
    message_id = accept(on_failure={"steps": [{"on": ["any"], "do": "resend", "from": "+15005550001"}]})
    twilio.behaviours = [refuse(21211, 400)]

    send_messages(rt)

    logged = [
        (line["was"], line["status"], line["attempt"])
        for line in lines.named("status_changed")
        if line["message_id"] == public_id(message_id)
    ]
    assert logged == [("failed", "pending", 2)]


def test_no_line_tells_the_variables_of_a_content_template(
    rt: Runtime, twilio: FakeTwilio, clock: FakeClock, accept: Accept, lines: Lines
) -> None:
    options = {"content_sid": "HX" + "1" * 32, "content_variables": {"1": BODY}}
    for behaviour in (twilio.accept, refuse(21656, 400), twilio.lose):
        accept(TO, "", options=options)
        twilio.behaviours = [behaviour]
        send_messages(rt)
        clock.advance(timedelta(minutes=2))
        sweep(rt)
        reconcile(rt)

    said = json.dumps(lines.lines, default=str)
    assert "message_submitted" in said
    assert [secret for secret in SECRETS if secret in said] == []
