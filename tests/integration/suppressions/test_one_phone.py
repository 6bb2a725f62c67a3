"""One phone, several spellings: whoever stopped under one of them is spared under each (F09, F10)."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import permutations
from urllib.parse import urlencode
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from alembic import command
from sqlalchemy.orm import Session, sessionmaker

from smsapp.cli.database import alembic_config
from smsapp.config import Settings
from smsapp.events.models import OutboxEvent
from smsapp.ids import new_id
from smsapp.runtime import Runtime
from smsapp.submission.send import send_messages
from smsapp.suppressions.check import RecipientOptedOutError
from smsapp.suppressions.models import Suppression, SuppressionEvent
from smsapp.suppressions.record import record_opt_outs
from smsapp.suppressions.rules import EVERY_SENDER, OptOutEvidence, OptOutSource
from smsapp.twilio.error_codes import OwnCode
from tests.support.callbacks import raw_callback, receive
from tests.support.fakes import FakeClock, FakeTwilio
from tests.support.messages import Accept, stored
from tests.support.web import Api, serving

SENDER = "+15005550006"
ON_WHATSAPP = "whatsapp:+15005550006"
SERVICE = "MG" + "2" * 32
SPELLINGS = [
    ("+5215512345678", "+525512345678"),
    ("+554188887777", "+5541988887777"),
    ("+541123456789", "+5491123456789"),
]
PAIRS = [pair for spelled in SPELLINGS for pair in permutations(spelled)]
MINUTE = timedelta(minutes=1)


@pytest.fixture(autouse=True)
def _looks_each_time(rt: Runtime, histories_tell_the_state: None) -> None:
    """Have every look at the suppressions be a fresh one."""
    rt.any_suppression.every_s = 0.0


@pytest.fixture
def api(settings: Settings, api_key: str) -> Iterator[Api]:
    with serving(settings, api_key) as api:
        yield api


def text(rt: Runtime, phone: str, body: str, *, to: str = SENDER, service: str = "") -> None:
    form = {
        "MessageSid": f"SM{uuid4().hex}",
        "From": phone,
        "To": to,
        "Body": body,
        "MessagingServiceSid": service,
    }
    receive(rt, raw_callback(rt, None, urlencode(form), kind="inbound"))


def suppress(rt: Runtime, recipient: str, scope: str) -> None:
    evidence = OptOutEvidence(recipient, [scope], True, OptOutSource.OPERATOR, rt.clock())
    with rt.transaction() as tx:
        record_opt_outs(rt, tx, [evidence])


def suppressed(sessions: sessionmaker[Session]) -> set[tuple[str, str]]:
    with sessions() as session:
        query = sa.select(Suppression.recipient, Suppression.scope).where(Suppression.suppressed)
        return {(row.recipient, row.scope) for row in session.execute(query)}


# What a STOP under one spelling stops.


@pytest.mark.parametrize(("stopped", "texted"), PAIRS)
@pytest.mark.parametrize("channel", ["", "whatsapp:"])
def test_a_stop_under_one_spelling_stops_texts_to_each(
    rt: Runtime, accept: Accept, clock: FakeClock, channel: str, stopped: str, texted: str
) -> None:
    text(rt, channel + stopped, "STOP", to=channel + SENDER)

    for spelling in (stopped, texted):
        with pytest.raises(RecipientOptedOutError):
            accept(channel + spelling, sender=channel + SENDER)
    clock.advance(MINUTE)
    text(rt, channel + texted, "START", to=channel + SENDER)
    assert stored(rt, accept(channel + stopped, sender=channel + SENDER)).status == "pending"


@pytest.mark.parametrize(("stopped", "texted"), PAIRS)
def test_a_text_that_waits_meets_the_stop_at_its_claim(
    rt: Runtime, accept: Accept, twilio: FakeTwilio, stopped: str, texted: str
) -> None:
    waiting, other = accept(texted), accept("+525587654321")
    text(rt, stopped, "STOP")

    send_messages(rt)

    assert (stored(rt, waiting).status, stored(rt, waiting).error_code) == (
        "failed",
        OwnCode.RECIPIENT_OPTED_OUT,
    )
    assert [sent.id for sent in twilio.sent] == [other]


@pytest.mark.parametrize("claimed", [True, False])
@pytest.mark.parametrize(
    ("recipient", "scope", "to", "sender", "service", "is_refused"),
    [
        pytest.param("+525512345678", ON_WHATSAPP, "+525512345678", ON_WHATSAPP, None, True, id="to a bare number"),
        pytest.param("whatsapp:+5215512345678", ON_WHATSAPP, "+525512345678", ON_WHATSAPP, None, True, id="F10"),
        pytest.param("whatsapp:+525512345678", ON_WHATSAPP, "+525512345678", SENDER, None, False, id="another channel"),
        pytest.param("+525512345678", SENDER, "whatsapp:+525512345678", ON_WHATSAPP, None, False, id="the other way"),
        pytest.param("+14155552671", EVERY_SENDER, "whatsapp:+14155552671", ON_WHATSAPP, None, True, id="every sender"),
        pytest.param("+554188887777", EVERY_SENDER, "whatsapp:+5541988887777", ON_WHATSAPP, None, True, id="however"),
        pytest.param("whatsapp:+14155552671", EVERY_SENDER, "+14155552671", SENDER, None, False, id="only WhatsApp"),
        pytest.param("+541123456789", SERVICE, "+5491123456789", None, SERVICE, True, id="a service"),
        pytest.param("+541123456789", SERVICE, "+5491123456789", SENDER, None, False, id="another sender"),
    ],
)  # fmt: skip
def test_a_suppression_concerns_the_channels_that_it_names(
    rt: Runtime,
    accept: Accept,
    recipient: str,
    scope: str,
    to: str,
    sender: str | None,
    service: str | None,
    is_refused: bool,
    claimed: bool,
) -> None:
    """Whether it is looked at when a text is accepted, or in its claim."""
    if claimed:
        message_id = accept(to, sender=sender, messaging_service_sid=service)
        suppress(rt, recipient, scope)
        send_messages(rt)
        assert (stored(rt, message_id).error_code == OwnCode.RECIPIENT_OPTED_OUT) == is_refused
        return
    suppress(rt, recipient, scope)
    if is_refused:
        with pytest.raises(RecipientOptedOutError):
            accept(to, sender=sender, messaging_service_sid=service)
    else:
        accept(to, sender=sender, messaging_service_sid=service)


def test_consumers_hear_of_the_address_that_wrote(rt: Runtime) -> None:
    text(rt, "+541123456789", "STOP")

    with rt.sessions() as session:
        [told] = session.scalars(sa.select(OutboxEvent).where(OutboxEvent.type == "recipient.opted_out"))
    assert told.data is not None
    assert told.data["recipient"] == "+541123456789"


# Finding and answering them.


@pytest.mark.parametrize(("one", "other"), PAIRS)
def test_whoever_looks_for_a_phone_finds_it_under_each_spelling(
    rt: Runtime, api: Api, one: str, other: str
) -> None:
    text(rt, f"whatsapp:{one}", "hello")
    sent = api.send(to=one, **{"from": SENDER})["id"]
    added = api.post({"recipient": one, "note": "n"}, path="/sms/suppressions").json["id"]

    queries = [f"to={other}", f"to={one}"]
    assert [[row["id"] for row in api.get(f"/sms/messages?{each}").json["data"]] for each in queries] == [
        [sent]
    ] * 2
    heard = api.get(f"/sms/inbound?from=whatsapp:{other}").json["data"]
    assert [row["from"] for row in heard] == [f"whatsapp:{one}"]
    assert [row["id"] for row in api.get(f"/sms/suppressions?recipient={other}").json["data"]] == [added]
    again = api.post({"recipient": other, "note": "n"}, path="/sms/suppressions")
    assert (again.status_code, again.json["id"]) == (200, added)


@pytest.mark.parametrize(
    "address", ["whatsapp:+5215512345678", "whatsapp:+554188887777", "whatsapp:+5491123456789"]
)
def test_whoever_writes_can_be_answered_at_the_address_that_is_shown(
    rt: Runtime, api: Api, clock: FakeClock, twilio: FakeTwilio, address: str
) -> None:  # F09
    clock.now = datetime.now(UTC) + MINUTE  # the API's clock is the real one
    text(rt, address, "hello", to=ON_WHATSAPP)
    [heard] = api.get("/sms/inbound").json["data"]

    api.send(to=heard["from"], **{"from": ON_WHATSAPP})
    send_messages(rt)

    [sent] = twilio.sent
    assert sent.to == address.replace("+521", "+52")  # Mexico's in its current form, the others as they came


# Suppressions from before.


Row = Callable[..., UUID]


@pytest.fixture
def before(settings: Settings, sessions: sessionmaker[Session]) -> Row:
    """Add a suppression to the database as the version before knew it, with its history."""
    command.downgrade(alembic_config(settings), "0015")

    def add(recipient: str, scope: str, *history: tuple[int, bool]) -> UUID:
        own_id = new_id()
        times = [datetime(2026, 11, 1, minute, tzinfo=UTC) for minute, _ in history]
        last = history[-1][1]
        with sessions.begin() as session:
            session.add(
                Suppression(
                    id=own_id,
                    recipient=recipient,
                    scope=scope,
                    suppressed=last,
                    source="inbound",
                    since=times[-1],
                    at=times[-1],
                    version=len(history),
                )
            )
            session.flush()
            for seq, (_, stops) in enumerate(history, start=1):
                at = times[seq - 1]
                event = {
                    "suppressed": stops,
                    "applied": True,
                    "source": "inbound",
                    "at": at,
                    "recorded_at": at,
                }
                session.add(SuppressionEvent(suppression_id=own_id, seq=seq, **event))
        return own_id

    return add


def histories(sessions: sessionmaker[Session]) -> dict[UUID, list[tuple[int, bool]]]:
    """Return the history of each suppression: the hour of each line, and whether it stops."""
    with sessions() as session:
        found: dict[UUID, list[tuple[int, bool]]] = {}
        for event in session.scalars(sa.select(SuppressionEvent).order_by(SuppressionEvent.seq)):
            found.setdefault(event.suppression_id, []).append((event.at.hour, event.suppressed))
        versions = dict(session.execute(sa.select(Suppression.id, Suppression.version)).all())
    assert versions == {own_id: len(lines) for own_id, lines in found.items()}
    return found


def test_suppressions_from_before_hold_for_each_spelling(
    rt: Runtime, accept: Accept, settings: Settings, sessions: sessionmaker[Session], before: Row
) -> None:
    before("whatsapp:+5215512345678", ON_WHATSAPP, (1, True))
    before("+554188887777", SENDER, (1, True))
    before("+541123456789", SERVICE, (1, True))
    before("+14155552671", SENDER, (1, True))
    before("+14155552672", ON_WHATSAPP, (1, True))

    command.upgrade(alembic_config(settings), "head")

    assert suppressed(sessions) == {
        ("whatsapp:+525512345678", ON_WHATSAPP),
        ("+5541988887777", SENDER),
        ("+5491123456789", SERVICE),
        ("+14155552671", SENDER),
        ("whatsapp:+14155552672", ON_WHATSAPP),
    }
    for to, sender in [("whatsapp:+525512345678", ON_WHATSAPP), ("+554188887777", SENDER)]:
        with pytest.raises(RecipientOptedOutError):
            accept(to, sender=sender)


@pytest.mark.parametrize("stop_came_first", [True, False])
def test_two_rows_of_one_phone_become_one_that_spares_it_and_has_both_histories(
    settings: Settings, sessions: sessionmaker[Session], before: Row, stop_came_first: bool
) -> None:
    stop, start = (1, 2) if stop_came_first else (2, 1)
    stopped = before("+5491123456789", SENDER, (0, False), (stop, True))
    before("+541123456789", SENDER, (start, True), (start + 2, False))
    untouched = before("+541123456789", SERVICE, (1, True), (5, False))

    command.upgrade(alembic_config(settings), "head")

    assert suppressed(sessions) == {("+5491123456789", SENDER)}
    found = histories(sessions)
    assert set(found) == {stopped, untouched}
    assert found[stopped] == sorted([(0, False), (stop, True), (start, True), (start + 2, False)])
    assert found[untouched] == [(1, True), (5, False)]


def test_of_two_lifted_rows_the_newer_is_kept(
    settings: Settings, sessions: sessionmaker[Session], before: Row
) -> None:
    before("+525512345678", SENDER, (1, True), (2, False))
    newer = before("+5215512345678", SENDER, (1, True), (3, False))

    command.upgrade(alembic_config(settings), "head")

    assert suppressed(sessions) == set()
    assert list(histories(sessions)) == [newer]
