"""Post signed status callbacks as Twilio does, and record the outcome of each.

The request: https://www.twilio.com/docs/messaging/guides/track-outbound-message-status. Unlike Twilio this
keeps connections alive, since load runs would otherwise measure TCP; a connection that the receiver closed
while it was idle is therefore replaced without counting as an attempt.
"""

import asyncio
import ssl
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from urllib.parse import quote_plus

import aiohttp

from simulator.callback_url import CallbackTarget, Overrides
from simulator.drafts import CHANNELS, kind_of
from simulator.ledger import Ledger
from simulator.messages import API_VERSION, BILLED, WITHOUT_SENDER, CallbackRecord, Message
from simulator.options import Settings
from simulator.plan import Report
from simulator.signature import sign

# As seen in production; see also https://www.twilio.com/docs/usage/webhooks/webhooks-connection-overrides
HEADERS = {
    "User-Agent": "TwilioProxy/1.1",
    "Accept": "*/*",
    "Content-Type": "application/x-www-form-urlencoded; charset=utf-8",
    "X-Home-Region": "us1",
}
FORGERS_TOKEN = "not-the-token-of-this-account"
CHANNEL_INSTALL_SID = "XE" + "0" * 32
TOLD_BY_CHANNEL = frozenset({"delivered", "read"})
IDLE_CONNECTION_S = 1.0  # below the 2 s after which gunicorn closes an idle connection

Failure = str | None


@dataclass(slots=True)
class Connection:
    """Facts about the connection that an attempt used."""

    is_new: bool = False


@dataclass(slots=True)
class Posting:
    """One callback in flight: its request, and the outcome so far."""

    target: CallbackTarget
    body: bytes
    headers: dict[str, str]
    attempts: int = 0
    http_status: int | None = None
    answer: bytes = field(default=b"", repr=False)
    content_type: str = ""


class Poster:
    """Posts webhooks over a bounded number of shared connections."""

    def __init__(self, settings: Settings, session: aiohttp.ClientSession) -> None:
        self._token = settings.auth_tokens[0]
        self._account_sid = settings.account_sid
        self._session = session
        self._slots = asyncio.Semaphore(settings.callback_connections)

    async def report(self, message: Message, report: Report, ledger: Ledger) -> None:
        """Post one callback in as many copies as planned, and record the outcome of each."""
        assert message.target is not None
        if not report.copies:
            message.callbacks.append(CallbackRecord(report.status, time.time(), report.error_code, "lost"))
            ledger.lost += 1
            return
        params = status_params(message, report, self._account_sid)
        token = FORGERS_TOKEN if report.forged else self._token
        posting = self._posting(message.target, params, token)
        for copy in range(report.copies):
            record = CallbackRecord(report.status, time.time(), report.error_code)
            message.callbacks.append(record)
            posting.attempts, posting.http_status = 0, None
            async with self._slots:
                await self._post(posting)
            record.attempts, record.http_status = posting.attempts, posting.http_status
            record.outcome = ledger.count_post(record, is_copy=copy > 0, is_forged=report.forged)

    async def post_once(self, target: CallbackTarget, params: dict[str, str]) -> Posting:
        """Post a signed form and return the posting with the answer: for inbound messages."""
        posting = self._posting(target, params, self._token)
        await self._post(posting)
        return posting

    def _posting(self, target: CallbackTarget, params: dict[str, str], token: str) -> Posting:
        headers = {
            **HEADERS,
            "X-Twilio-Signature": sign(token, target.signed_url, params.items()),
            # The same on every retry of this callback.
            "I-Twilio-Idempotency-Token": str(uuid.uuid4()),
        }
        body = "&".join([f"{name}={quote_plus(value)}" for name, value in params.items()])
        return Posting(target, body.encode(), headers)

    async def _post(self, posting: Posting) -> None:
        overrides = posting.target.overrides
        try:
            async with asyncio.timeout(overrides.total_s):
                while posting.attempts <= overrides.retries:
                    posting.attempts += 1
                    failure = await self._attempt(posting)
                    if failure is None or not overrides.retried(failure):
                        return
        except TimeoutError:
            return

    async def _attempt(self, posting: Posting) -> Failure:
        """Post once; return None for a 2xx, otherwise the kind of failure in the words of the overrides."""
        posting.http_status = None
        connection = Connection()
        try:
            return await self._request(posting, connection)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, ssl.SSLError):
            return "ct"
        except aiohttp.SocketTimeoutError:
            return "rt"
        except aiohttp.ClientError:
            if connection.is_new:
                return "broken"
        # An idle connection had died; Twilio itself would have opened a new one for this callback.
        try:
            return await self._request(posting, connection)
        except aiohttp.ClientError:
            return "ct"

    async def _request(self, posting: Posting, connection: Connection) -> Failure:
        async with self._session.post(
            posting.target.url,
            data=posting.body,
            headers=posting.headers,
            timeout=_timeout(posting.target.overrides),
            allow_redirects=False,
            skip_auto_headers=("Accept-Encoding",),
            trace_request_ctx=connection,
        ) as response:
            posting.answer = await response.read()
        posting.http_status = response.status
        posting.content_type = response.headers.get("Content-Type", "")
        if 200 <= response.status < 300:
            return None
        return f"{response.status // 100}xx"


def new_session(settings: Settings) -> aiohttp.ClientSession:
    """Return the one HTTP session for callbacks; needs a running event loop."""
    trace = aiohttp.TraceConfig()
    trace.on_connection_create_start.append(_mark_new)
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(
            limit=settings.callback_connections, keepalive_timeout=IDLE_CONNECTION_S, ttl_dns_cache=60
        ),
        cookie_jar=aiohttp.DummyCookieJar(),
        trace_configs=[trace],
        auto_decompress=False,
    )


def status_params(message: Message, report: Report, account_sid: str) -> dict[str, str]:
    """Return the parameters of a status callback; never a time, a price or a number of segments."""
    params = {
        "SmsSid": message.sid,
        "SmsStatus": report.status,
        "MessageStatus": report.status,
        "To": message.draft.to,
        "MessageSid": message.sid,
        "AccountSid": account_sid,
        "ApiVersion": API_VERSION,
    }
    if report.status not in WITHOUT_SENDER:
        params["From"] = message.sender
    if message.draft.messaging_service_sid:
        params["MessagingServiceSid"] = message.draft.messaging_service_sid
    if report.error_code is not None:
        params["ErrorCode"] = str(report.error_code)
    if report.status in BILLED:
        # The carrier's clock, YYMMDDhhmm without a zone.
        params["RawDlrDoneDate"] = datetime.now(UTC).strftime("%y%m%d%H%M")
    if kind_of(message.draft.to) in CHANNELS:
        params |= {"ChannelPrefix": kind_of(message.draft.to), "ChannelInstallSid": CHANNEL_INSTALL_SID}
        if report.status in TOLD_BY_CHANNEL:
            params["EventType"] = report.status.upper()
    return params


async def _mark_new(_session: aiohttp.ClientSession, context: SimpleNamespace, _params: object) -> None:
    context.trace_request_ctx.is_new = True


def _timeout(overrides: Overrides) -> aiohttp.ClientTimeout:
    return aiohttp.ClientTimeout(total=None, sock_connect=overrides.connect_s, sock_read=overrides.read_s)
