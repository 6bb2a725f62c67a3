"""Twilio's Messages API through the official client, with each reply translated into a fact about one message."""

import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import structlog
from twilio.base.exceptions import TwilioException
from twilio.rest import Client
from twilio.rest.api.v2010.account.message import MessageInstance

from smsapp.config import Settings
from smsapp.ids import callback_url, public_id
from smsapp.recipients.phone import address
from smsapp.twilio.connections import NoAnswerError, NotSentError
from smsapp.twilio.gateway import (
    UNREADABLE_ANSWER,
    CreateRequest,
    Submission,
    TwilioMessage,
    TwilioUnavailableError,
)
from smsapp.twilio.judgement import Judgement, judge_refusal
from smsapp.twilio.transport import RefusedError, Transport

log = structlog.get_logger(__name__)

_LIST_PAGE = 1000
_FAILURES = (NotSentError, NoAnswerError, RefusedError)
_UNREADABLE = (TwilioException, ValueError, KeyError, TypeError, AttributeError)


class TwilioGateway:
    """The real gateway. Build it once per process, before use; its methods are thread-safe."""

    def __init__(self, settings: Settings, *, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._transport = Transport(
            connect_timeout=settings.twilio_connect_timeout,
            read_timeout=settings.twilio_read_timeout,
            connections=settings.send_concurrency,
        )
        self._client = Client(
            settings.twilio_account_sid, settings.auth_tokens[0], http_client=self._transport, environment={}
        )
        self._client.api.base_url = settings.twilio_api_base_url
        self._messages = self._client.messages  # the SDK builds these lazily, and not thread-safely
        self._account_sid = settings.twilio_account_sid
        self._app_base_url = settings.app_base_url

    def submit(self, message: CreateRequest) -> Submission:
        """Create the message at Twilio; never raises for anything that Twilio or the network does."""
        parameters: dict[str, Any] = {
            "from_": message.sender,
            "messaging_service_sid": message.messaging_service_sid,
            "media_url": message.media_urls,
            "validity_period": message.validity_period_s(self._clock()),
            "body": message.body or None,
        }
        if message.options:
            parameters |= _further(message.options)
        try:
            created = self._messages.create(
                to=address(message.to, message.sender),
                status_callback=callback_url(self._app_base_url, message.id, message.attempt),
                **{name: value for name, value in parameters.items() if value is not None},
            )
            return Submission(message=_message(created))
        except _FAILURES as error:
            return _failure(error)
        except _UNREADABLE as error:
            # An unreadable 2xx: Twilio most likely accepted the message, but under a SID that we do not know.
            log.warning(
                "twilio_answer_unreadable",
                message_id=public_id(message.id),
                request_id=message.request_id,
                error=type(error).__name__,
            )
            return Submission(judgement=Judgement.unknown(), cause=UNREADABLE_ANSWER)

    def fetch(self, sid: str) -> TwilioMessage | None:
        """Return the message, or None when Twilio has none by that SID.

        Raises:
            TwilioUnavailableError: it could not be asked.
        """
        try:
            return _message(self._messages(sid).fetch())
        except RefusedError as error:
            if error.status == 404:
                return None
            raise _unavailable(error) from error
        except (NotSentError, NoAnswerError, *_UNREADABLE) as error:
            raise _unavailable(error) from error

    def list_to(self, to: str, *, limit: int) -> Iterator[TwilioMessage]:
        """Yield the latest messages to a number, without a date filter: a just-created one has no date_sent yet.

        Raises:
            TwilioUnavailableError: it could not be asked.
        """
        return self._list(limit, to=to)

    def list_sent(self, *, after: datetime, before: datetime, limit: int) -> Iterator[TwilioMessage]:
        """Yield up to `limit` messages that were sent in a span of time.

        Raises:
            TwilioUnavailableError: it could not be asked.
        """
        # The SDK appends a Z whatever the time zone of its argument.
        return self._list(
            limit, date_sent_after=after.astimezone(UTC), date_sent_before=before.astimezone(UTC)
        )

    def _list(self, limit: int, **filters: Any) -> Iterator[TwilioMessage]:
        try:
            for found in self._messages.stream(limit=limit, page_size=min(limit, _LIST_PAGE), **filters):
                yield _message(found)
        except (*_FAILURES, *_UNREADABLE) as error:
            raise _unavailable(error) from error

    def cancel(self, sid: str) -> TwilioMessage:
        """Cancel a scheduled message.

        Raises:
            TwilioUnavailableError: it could not be asked, or the message can no longer be canceled.
        """
        return self._update(sid, status="canceled")

    def redact(self, sid: str) -> None:
        """Empty the body of a message that Twilio keeps.

        Raises:
            TwilioUnavailableError: it could not be asked, or the message is not final yet.
        """
        self._update(sid, body="")

    def probe(self) -> Submission:
        """Fetch the account itself: without a judgement, the credentials work and the account is active."""
        try:
            account = self._client.api.accounts(self._account_sid).fetch()
            if not account.status:
                raise ValueError("no status in Twilio's answer")
        except _FAILURES as error:
            return _failure(error)
        except _UNREADABLE:
            return Submission(cause=UNREADABLE_ANSWER)
        return Submission(cause=None if account.status == "active" else f"account_{account.status}")

    def _update(self, sid: str, **change: Any) -> TwilioMessage:
        try:
            return _message(self._messages(sid).update(**change))
        except (*_FAILURES, *_UNREADABLE) as error:
            raise _unavailable(error) from error


def _further(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as the SDK takes them: variables are a JSON text."""
    variables = options.get("content_variables")
    return {**options, "content_variables": variables and json.dumps(variables, ensure_ascii=False)}


def _failure(error: NotSentError | NoAnswerError | RefusedError) -> Submission:
    if isinstance(error, RefusedError):
        judgement = judge_refusal(error.code, error.status)
        return Submission(judgement=judgement, retry_after=error.retry_after, cause=str(error))
    judgement = Judgement.not_sent() if isinstance(error, NotSentError) else Judgement.unknown()
    return Submission(judgement=judgement, cause=str(error))


def _unavailable(error: Exception) -> TwilioUnavailableError:
    if isinstance(error, RefusedError):
        return TwilioUnavailableError(
            str(error), code=error.code, status=error.status, retry_after=error.retry_after
        )
    return TwilioUnavailableError(str(error) if isinstance(error, _FAILURES) else UNREADABLE_ANSWER)


def _message(instance: MessageInstance) -> TwilioMessage:
    """Translate the SDK's instance, whose numbers are strings.

    Raises:
        ValueError: the reply lacks required fields (the SDK returns an empty instance for an empty 2xx).
    """
    if not instance.sid or not instance.status:
        raise ValueError("no sid or status in Twilio's answer")
    return TwilioMessage(
        sid=instance.sid,
        status=str(instance.status),
        to=instance.to or "",
        sender=instance.from_,
        body=instance.body,
        error_code=instance.error_code,
        num_segments=int(instance.num_segments or 0) or None,
        price=instance.price,
        price_unit=instance.price_unit,
        created_at=instance.date_created,
        num_media=int(instance.num_media or 0),
    )
