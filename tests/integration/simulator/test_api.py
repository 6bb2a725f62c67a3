"""The simulator's REST API through Twilio's unmodified client library."""

import re
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from urllib.parse import urlsplit

import pytest
import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from simulator.options import ACCOUNT_SID
from simulator.process import SimulatorError, SimulatorProcess, running_simulator
from simulator.receiver import Receiver, running_receiver

SENDER = "+15550109999"
SERVICE = "MG" + "1" * 32
NEW_TOKEN, OLD_TOKEN = "a" * 32, "b" * 32
numbers = (f"+1555021{n:04d}" for n in count())


@pytest.fixture(scope="module")
def sim() -> Iterator[SimulatorProcess]:
    with running_simulator(
        sent_ms=4,
        final_ms=8,
        schedule_min_s=0,
        auth_token=f"{NEW_TOKEN},{OLD_TOKEN}",
        phone_number=SENDER,
        price_ms=0,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    with running_receiver() as running:
        yield running


@pytest.fixture
def to() -> str:
    return next(numbers)


@contextmanager
def twilio(sim: SimulatorProcess, token: str = NEW_TOKEN, sid: str = ACCOUNT_SID) -> Iterator[Client]:
    http_client = TwilioHttpClient(timeout=5)
    client = Client(sid, token, http_client=http_client)
    client.api.base_url = sim.url
    yield client
    http_client.session.close()


@pytest.fixture
def client(sim: SimulatorProcess) -> Iterator[Client]:
    with twilio(sim) as made:
        yield made


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def test_a_created_message_looks_like_twilios(client: Client, to: str) -> None:
    created = client.messages.create_with_http_info(to=to, from_=SENDER, body="Hello")
    message = created.data

    assert created.status_code == 201
    assert re.fullmatch(r"RQ[0-9a-f]{32}", created.headers["Twilio-Request-Id"])
    assert created.headers["Twilio-Concurrent-Requests"] == "1"
    assert re.fullmatch(r"SM[0-9a-f]{32}", message.sid)
    assert (message.status, message.direction, message.api_version) == (
        "queued",
        "outbound-api",
        "2010-04-01",
    )
    assert (message.from_, message.to, message.body) == (SENDER, to, "Hello")
    assert (message.num_segments, message.num_media) == ("1", "0")
    assert (message.price, message.price_unit, message.error_code) == (None, "USD", None)
    assert abs(datetime.now(UTC) - message.date_created) < timedelta(seconds=5)
    assert message.date_sent is None
    assert message.uri == f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{message.sid}.json"


def test_a_fetched_message_has_its_end_and_its_price(sim: SimulatorProcess, client: Client, to: str) -> None:
    sid = client.messages.create(to=to, from_=SENDER, body="x" * 161).sid
    sim.wait_until_idle()

    message = client.messages(sid).fetch()

    assert (message.status, message.num_segments, message.price) == ("delivered", "2", "-0.01500")
    assert message.date_sent is not None


def test_a_price_shows_late_and_never_of_what_failed(sim: SimulatorProcess, client: Client, to: str) -> None:
    sim.configure(price_ms=60_000)
    sids = [
        client.messages.create(to=each, from_=SENDER, body="Hello").sid for each in (to, to[:-5] + "30034")
    ]
    sim.wait_until_idle()
    sim.configure(price_ms=0)

    assert [(each.status, each.price) for each in (client.messages(sid).fetch() for sid in sids)] == [
        ("delivered", None),
        ("failed", None),
    ]


@pytest.mark.parametrize("status", ["suspended", "closed"])
def test_an_account_that_is_not_active_can_only_be_looked_at(
    sim: SimulatorProcess, client: Client, to: str, status: str
) -> None:
    sim.configure(account_status=status)
    try:
        shown = client.api.accounts(ACCOUNT_SID).fetch().status
        with pytest.raises(TwilioRestException) as refused:
            client.messages.create(to=to, from_=SENDER, body="Hello")
    finally:
        sim.configure(account_status="active")

    assert shown == status
    assert (refused.value.status, refused.value.code) == (403, 20005)


def test_a_service_hides_its_sender_until_it_has_picked_one(
    sim: SimulatorProcess, client: Client, to: str
) -> None:
    message = client.messages.create(to=to, messaging_service_sid=SERVICE, body="Hello")
    sim.wait_until_idle()
    later = message.fetch()

    assert (message.status, message.from_, message.num_segments) == ("accepted", None, "0")
    assert (later.status, later.from_, later.num_segments) == ("delivered", SENDER, "1")
    assert later.messaging_service_sid == SERVICE


def test_media_make_it_an_mms(client: Client, to: str) -> None:
    message = client.messages.create(to=to, from_=SENDER, media_url=["https://example.com/1.png"] * 2)

    assert message.sid.startswith("MM")
    assert message.num_media == "2"


def test_media_are_listed_fetched_shown_and_deleted(
    sim: SimulatorProcess, client: Client, to: str, receiver: Receiver
) -> None:
    urls = ["https://example.com/1.png?size=2", "https://example.com/2.jpg"]
    sid = client.messages.create(to=to, from_=SENDER, media_url=urls).sid

    first, second = client.messages(sid).media.list()
    fetched = client.messages(sid).media(second.sid).fetch()
    shown = requests.get(sim.url + first.uri.removesuffix(".json"), allow_redirects=False, timeout=5)

    assert [item.content_type for item in (first, second)] == ["image/png", "image/jpeg"]
    assert (fetched.sid, fetched.parent_sid) == (second.sid, sid)
    assert re.fullmatch(r"ME[0-9a-f]{32}", first.sid)
    assert (shown.status_code, shown.headers["Location"]) == (307, urls[0])
    assert client.messages(sid).media(first.sid).delete()
    assert [item.sid for item in client.messages(sid).media.list()] == [second.sid]
    assert client.messages(sid).fetch().num_media == "1"
    with pytest.raises(TwilioRestException) as gone:
        client.messages(sid).media(first.sid).fetch()
    assert gone.value.status == 404


@pytest.mark.parametrize("outcome", ["confirmed", "unconfirmed"])
def test_feedback_is_taken_and_shown_in_the_ledger(
    sim: SimulatorProcess, client: Client, to: str, outcome: str
) -> None:
    sid = client.messages.create(to=to, from_=SENDER, body="Hello").sid

    given = client.messages(sid).feedback.create(outcome=outcome)

    assert (given.message_sid, given.outcome) == (sid, outcome)
    assert [entry["feedback"] for entry in sim.ledger(to=to)["messages"]] == [outcome]


def test_feedback_of_another_kind_is_refused(client: Client, to: str) -> None:
    sid = client.messages.create(to=to, from_=SENDER, body="Hello").sid

    with pytest.raises(TwilioRestException) as refused:
        client.messages(sid).feedback.create(outcome="perhaps")

    assert refused.value.status == 400


@pytest.mark.parametrize(
    ("channel", "sender"),
    [
        ("", "12345"),
        ("", "ACME Shop"),
        ("whatsapp:", "whatsapp:+15550109999"),
        ("whatsapp:", "whatsapp:+14155238886"),
    ],
)
def test_senders_of_every_kind_are_delivered(
    sim: SimulatorProcess, client: Client, to: str, channel: str, sender: str
) -> None:
    sid = client.messages.create(to=channel + to, from_=sender, body="Hello").sid
    sim.wait_until_idle()

    message = client.messages(sid).fetch()

    assert (message.status, message.from_, message.to) == ("delivered", sender, channel + to)


def test_refusals_carry_twilios_code(client: Client) -> None:
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to="+1", from_=SENDER, body="Hello")

    assert (refused.value.status, refused.value.code) == (400, 21211)
    assert "Invalid 'To'" in refused.value.msg


def test_a_sender_of_somebody_else_is_refused(client: Client, to: str) -> None:
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=to, from_="+15550108888", body="Hello")

    assert refused.value.code == 21606


@pytest.mark.parametrize("token", [NEW_TOKEN, OLD_TOKEN])
def test_any_token_of_a_rotation_authenticates(sim: SimulatorProcess, token: str) -> None:
    with twilio(sim, token) as client:
        assert client.api.accounts(ACCOUNT_SID).fetch().status == "active"


@pytest.mark.parametrize("credentials", [{"token": "wrong"}, {"sid": "AC" + "9" * 32}])
def test_wrong_credentials_do_not(sim: SimulatorProcess, to: str, credentials: dict[str, str]) -> None:
    with twilio(sim, **credentials) as client, pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=to, from_=SENDER, body="Hello")

    assert (refused.value.status, refused.value.code) == (401, 20003)


def test_what_does_not_exist_is_not_found(client: Client) -> None:
    for missing in (
        client.messages("SM" + "0" * 32),
        client.api.accounts("AC" + "9" * 32),
        client.queues("QU1"),
    ):
        with pytest.raises(TwilioRestException) as refused:
            missing.fetch()

        assert (refused.value.status, refused.value.code) == (404, 20404)


def test_the_list_is_followed_through_its_pages(client: Client, to: str) -> None:
    sids = [client.messages.create(to=to, from_=SENDER, body=str(n)).sid for n in range(7)]

    listed = client.messages.list(to=to, page_size=3)

    assert [message.sid for message in listed] == sids[::-1]


def test_new_messages_do_not_shift_pages(client: Client, to: str) -> None:
    sids = [client.messages.create(to=to, from_=SENDER, body=str(n)).sid for n in range(4)]
    first = client.messages.page(to=to, page_size=2)
    client.messages.create(to=to, from_=SENDER, body="newer")

    second = first.next_page()
    assert [message.sid for message in second] == [sids[1], sids[0]]
    assert [message.sid for message in second.previous_page()] == [sids[3], sids[2]]
    assert second.next_page() is None


def test_lists_are_filtered_by_sender_and_time(sim: SimulatorProcess, client: Client, to: str) -> None:
    sid = client.messages.create(to=to, from_=SENDER, body="Hello").sid
    sim.wait_until_idle()
    client.messages.create(to=to, from_="+15005550006", body="Hello")
    scheduled = client.messages.create(
        to=to, messaging_service_sid=SERVICE, body="Later", send_at=in_an_hour(), schedule_type="fixed"
    )
    sim.wait_until_idle()
    an_hour = timedelta(hours=1)
    now = datetime.now(UTC)

    assert [message.sid for message in client.messages.list(to=to, from_=SENDER)] == [sid]
    assert client.messages.list(to=to, date_sent_before=now - an_hour) == []
    assert client.messages.list(to=to, date_sent_after=now + an_hour) == []
    within = client.messages.list(to=to, date_sent_after=now - an_hour, date_sent_before=now + an_hour)
    assert len(within) == 2
    assert scheduled.sid not in {message.sid for message in within}
    assert scheduled.sid in {message.sid for message in client.messages.list(to=to)}


def test_a_scheduled_message_can_be_canceled_until_it_goes(
    sim: SimulatorProcess, client: Client, receiver: Receiver, to: str
) -> None:
    message = client.messages.create(
        to=to,
        messaging_service_sid=SERVICE,
        body="Later",
        send_at=in_an_hour(),
        schedule_type="fixed",
        status_callback=receiver.url,
    )

    canceled = client.messages(message.sid).update(status="canceled")
    [callback] = receiver.wait_for(1, to=to)

    assert (message.status, canceled.status) == ("scheduled", "canceled")
    assert callback.params["MessageStatus"] == "canceled"
    assert "From" not in callback.params
    with pytest.raises(TwilioRestException) as refused:
        client.messages(message.sid).update(status="canceled")
    assert (refused.value.status, refused.value.code) == (409, 30409)


def test_a_scheduled_message_goes_when_its_time_comes(client: Client, receiver: Receiver, to: str) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)  # sent as a whole second, so within one

    client.messages.create(
        to=to,
        messaging_service_sid=SERVICE,
        body="Soon",
        send_at=soon,
        schedule_type="fixed",
        status_callback=receiver.url,
    )

    words = {callback.params["MessageStatus"] for callback in receiver.wait_for(3, to=to)}
    assert words == {"queued", "sent", "delivered"}


def test_a_body_is_redacted_but_the_ledger_keeps_it(sim: SimulatorProcess, client: Client, to: str) -> None:
    sid = client.messages.create(to=to, from_=SENDER, body="Secret").sid
    sim.wait_until_idle()

    redacted = client.messages(sid).update(body="")

    assert (redacted.body, client.messages(sid).fetch().body) == ("", "")
    assert sim.ledger(to=to)["messages"][0]["body"] == "Secret"


@pytest.mark.parametrize(
    "changes", [{}, {"status": "sent"}, {"body": "x"}, {"body": "", "status": "canceled"}]
)
def test_other_updates_are_refused(client: Client, to: str, changes: dict[str, str]) -> None:
    message = client.messages.create(to=to, from_=SENDER, body="Hello")

    with pytest.raises(TwilioRestException) as refused:
        message.update(**changes)

    assert (refused.value.status, refused.value.code) == (400, 30400)


def test_a_deleted_message_is_gone_but_stays_in_the_ledger(
    sim: SimulatorProcess, client: Client, to: str
) -> None:
    sid = client.messages.create(to=to, from_=SENDER, body="Hello").sid
    sim.wait_until_idle()

    assert client.messages(sid).delete()

    assert client.messages.list(to=to) == []
    with pytest.raises(TwilioRestException):
        client.messages(sid).fetch()
    assert sim.ledger(to=to)["messages"][0]["deleted"]


def test_a_message_that_is_not_sent_yet_cannot_be_deleted(client: Client, to: str) -> None:
    message = client.messages.create(
        to=to, messaging_service_sid=SERVICE, body="Later", send_at=in_an_hour(), schedule_type="fixed"
    )

    with pytest.raises(TwilioRestException) as refused:
        message.delete()

    assert (refused.value.status, refused.value.code) == (409, 20009)


def test_the_ledger_is_read_in_parts(sim: SimulatorProcess, client: Client) -> None:
    start = sim.ledger()["next"]
    sids = [client.messages.create(to=next(numbers), from_=SENDER, body=str(n)).sid for n in range(3)]

    first, rest = sim.ledger(after=start, limit=2), sim.ledger(after=start + 2)

    assert [message["sid"] for message in first["messages"] + rest["messages"]] == sids
    assert (first["next"], rest["next"]) == (start + 2, start + 3)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", first["messages"][0]["created_at"])


def test_nonsense_is_refused_without_harm(sim: SimulatorProcess, client: Client) -> None:
    for path in ("/ledger?after=x", "/ledger?limit=-1", "/_idle?timeout_s=x"):
        with pytest.raises(SimulatorError, match="400"):
            sim.call("GET", path)
    with pytest.raises(SimulatorError, match="400"):
        sim.configure(loss=2)
    with pytest.raises(TwilioException, match="20001"):  # for lists the client raises no TwilioRestException
        client.messages.list(date_sent="never")
    assert sim.call("GET", "/_health") == {"status": "ok"}


def test_a_reset_forgets_all_but_the_options(to: str) -> None:
    with (
        running_simulator(sent_ms=60_000, final_ms=60_000, auth_token=NEW_TOKEN) as own,
        twilio(own) as client,
    ):
        own.configure(seed=5)
        client.messages.create(to=to, from_=SENDER, body="Hello", status_callback="http://127.0.0.1:9/")
        assert own.summary()["callbacks_pending"] == 2

        own.reset()

        assert own.wait_until_idle()["accepted"] == 0
        assert own.summary()["callbacks_pending"] == 0
        assert own.configure()["seed"] == 5


def test_sigterm_ends_it_at_once_even_with_a_request_open(to: str) -> None:
    with (
        running_simulator(latency_ms=60_000, auth_token=NEW_TOKEN) as own,
        twilio(own) as client,
        ThreadPoolExecutor(1) as pool,
    ):
        waiting = pool.submit(client.messages.create, to=to, from_=SENDER, body="Hello")
        deadline = time.monotonic() + 5
        while own.summary()["concurrent"] == 0 and time.monotonic() < deadline:
            pass
        began = time.monotonic()
        own.process.send_signal(signal.SIGTERM)

        assert own.process.wait(5) == 0
        assert time.monotonic() - began < 2
        assert isinstance(waiting.exception(5), requests.ConnectionError)


def test_a_port_in_use_is_an_error_and_not_a_second_simulator(sim: SimulatorProcess) -> None:
    port = urlsplit(sim.url).port

    with pytest.raises(SimulatorError, match="did not start"), running_simulator(port=port):
        pass


def test_content_and_options_are_taken_as_twilio_takes_them(client: Client, to: str) -> None:
    sid = "HX" + "1" * 32
    filled = client.messages.create(
        to=to, from_=SENDER, content_sid=sid, content_variables='{"1": "Ann"}', risk_check="disable"
    )
    smart = client.messages.create(to=to, from_=SENDER, body="it\u2019s " * 30, smart_encoded=True)
    short = client.messages.create(
        to=to, messaging_service_sid=SERVICE, body="https://example.com/a", shorten_urls=True
    )
    mms = client.messages.create(to=to, from_=SENDER, body="x" * 1000, send_as_mms=True)

    assert filled.body == f"{sid} Ann"
    assert (smart.body, smart.num_segments) == ("it's " * 30, "1")
    assert short.body.startswith("https://twil.io/")
    assert (mms.num_segments, mms.sid[:2]) == ("1", "MM")
    with pytest.raises(TwilioRestException) as refused:
        client.messages.create(to=to, from_=SENDER, content_sid=sid, content_variables="Ann")
    assert refused.value.code == 21656


def test_a_refused_sender_names_those_that_exist(client: Client, to: str) -> None:
    with pytest.raises(TwilioRestException, match=re.escape(SENDER)):
        client.messages.create(to=to, from_="+15550100009", body="Hello")
