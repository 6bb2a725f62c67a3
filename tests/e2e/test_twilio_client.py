"""The official Twilio client, unmodified but for its base URL, cannot tell the simulator from Twilio."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from tests.support.environment import ACCOUNT_SID, AUTH_TOKEN, SENDER
from tests.support.on_database import on_sqlite
from tests.support.stack import Stack

NUMBER = "+15552600001"

pytestmark = on_sqlite  # one is enough: no database of ours takes part


@pytest.fixture
def client(stack: Stack) -> Iterator[Client]:
    """The official client with the account's own credentials."""
    http = TwilioHttpClient(timeout=5)
    client = Client(ACCOUNT_SID, AUTH_TOKEN, http_client=http)
    client.api.base_url = stack.url("simulator")
    yield client
    http.session.close()


def test_create_fetch_list_and_redact(stack: Stack, client: Client) -> None:
    created = client.messages.create(to=NUMBER, from_=SENDER, body="create, fetch, list and redact")
    stack.simulator.wait_until_idle()

    fetched = client.messages(created.sid).fetch()
    listed = [message.sid for message in client.messages.list(to=NUMBER, limit=20)]
    redacted = client.messages(created.sid).update(body="")

    assert (created.status, fetched.status) == ("queued", "delivered")
    assert created.sid in listed
    assert (fetched.body, redacted.body) == ("create, fetch, list and redact", "")


def test_cancel(client: Client) -> None:
    scheduled = client.messages.create(
        to=NUMBER,
        messaging_service_sid="MG" + "0" * 32,
        body="cancel",
        schedule_type="fixed",
        send_at=datetime.now(UTC) + timedelta(hours=1),
    )

    canceled = client.messages(scheduled.sid).update(status="canceled")

    assert (scheduled.status, canceled.status) == ("scheduled", "canceled")
