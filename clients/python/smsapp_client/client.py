"""The client: one method for each thing that an application wants of the service."""

import time
import uuid
from collections.abc import Iterator, Sequence
from datetime import datetime
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

from smsapp_client.jobs import Jobs
from smsapp_client.models import Event, Message
from smsapp_client.subscriptions import Subscriptions
from smsapp_client.suppressions import Suppressions
from smsapp_client.templates import Templates
from smsapp_client.transport import Transport, given, plain

LONGEST_WAIT_S = 20
"""The service holds no answer back for longer."""


class Client:
    """One service and one API key. May be shared between threads; a context manager closes its connections.

    `jobs`, `templates`, `suppressions` and `subscriptions` have methods of their own.

    Args:
        base_url: where the service is, such as `https://sms.example.com`.
        api_key: from `python -m smsapp keys create NAME`.
        retries: how often a request is repeated that met a lost connection or a 502, 503 or 504.
        max_pause_s: the longest pause between two attempts, whatever `Retry-After` says.
        timeout_s: how long to wait for an answer that the service does not hold back on purpose.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: int = 4,
        max_pause_s: float = 30.0,
        timeout_s: float = 10.0,
    ) -> None:
        self._transport = Transport(
            base_url, api_key, retries=retries, max_pause_s=max_pause_s, timeout_s=timeout_s
        )
        self.jobs = Jobs(self._transport)
        self.templates = Templates(self._transport)
        self.suppressions = Suppressions(self._transport)
        self.subscriptions = Subscriptions(self._transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close all connections."""
        self._transport.close()

    def send(
        self,
        to: str,
        body: str | None = None,
        *,
        sender: str | None = None,
        idempotency_key: str | None = None,
        **options: Any,
    ) -> Message:
        """Hand a text over to the service and return it; from then on it is owed to the recipient.

        Args:
            to: the recipient in E.164 form.
            body: the text; without it `template`, and `values` for its placeholders.
            sender: the field `from`.
            idempotency_key: your own, to repeat the request from another process; a new one for each call without.
            options: further fields of `POST /sms/send`; times may be aware datetimes, None leaves a field out.

        Raises:
            ValueError: `dry_run`, whose answer is no message, or a time without a zone.
            InvalidRequest, Refused: it was not accepted, and never will be.
            Unavailable, Unreachable: it is not known to be accepted; repeat it with the same key.
        """
        if options.get("dry_run"):
            raise ValueError("a dry run sends nothing and gives no message")
        document = given(**{"to": to, "body": body, "from": sender, **options})
        key = {"Idempotency-Key": idempotency_key or uuid.uuid4().hex}
        return Message.from_document(
            self._transport.request("POST", "/sms/send", document=document, headers=key)
        )

    def get(self, message_id: str) -> Message:
        """Return a message as it stands.

        Raises:
            NotFound: there is none with this id.
        """
        return Message.from_document(self._transport.request("GET", _address(message_id)))

    def wait(self, message_id: str, *, timeout_s: float = 60.0) -> Message:
        """Return a message as soon as its outcome is known, or as it stands after so many seconds.

        Raises:
            NotFound: there is none with this id.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0, min(LONGEST_WAIT_S, round(deadline - time.monotonic())))
            answer = self._transport.request(
                "GET", _address(message_id), query={"wait": left_s}, patience_s=left_s
            )
            message = Message.from_document(answer)
            if message.outcome is not None or left_s == 0:
                return message

    def cancel(self, message_id: str) -> Message:
        """Stop a message before it goes out, and return it.

        Raises:
            Conflict: `too_late_to_cancel`.
            NotFound: there is none with this id.
        """
        return Message.from_document(self._transport.request("POST", _address(message_id) + "/cancel"))

    def messages(
        self,
        *,
        status: str | None = None,
        to: str | None = None,
        client_reference: str | None = None,
        job_id: str | None = None,
        created_from: datetime | None = None,
        created_until: datetime | None = None,
        page_size: int = 100,
    ) -> Iterator[Message]:
        """Go through all messages that match, newest first; pages are fetched as they are needed."""
        query: dict[str, Any] = {
            "status": status,
            "to": to,
            "client_reference": client_reference,
            "job_id": job_id,
            "created_from": plain(created_from),
            "created_until": plain(created_until),
            "limit": page_size,
        }
        yield from map(Message.from_document, self._transport.pages("/sms/messages", query))

    def events(
        self,
        *,
        after: int | None = None,
        types: Sequence[str] = (),
        tags: Sequence[str] = (),
        follow: bool = False,
        page_size: int = 100,
    ) -> Iterator[Event]:
        """Go through what happened after a number, in order and without gaps.

        Args:
            after: the `seq` of the last event that you have made something of; None begins with the oldest kept.
            follow: wait for further events without end, instead of stopping at the latest.

        Raises:
            Gone: events after this number are not kept any more.
        """
        wait_s = LONGEST_WAIT_S if follow else 0
        chosen = {"types": ",".join(types) or None, "tags": ",".join(tags) or None, "limit": page_size}
        while True:
            page = self._transport.request(
                "GET",
                "/sms/events",
                query={**chosen, "after": after, "wait": wait_s or None},
                patience_s=wait_s,
            )
            yield from map(Event.from_document, page["data"])
            after = page["next_after"]
            if not page["has_more"] and not follow:
                return


def _address(message_id: str) -> str:
    return f"/sms/messages/{quote(message_id, safe='')}"
