"""What `POST /sms/send` does with a valid request, by Flask or by the fast path."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from smsapp.content.rules import compose
from smsapp.db.idempotency import Answered, IdempotentRequest, identify
from smsapp.messages.documents import message_view
from smsapp.queue.group_commit import GroupCommit
from smsapp.queue.lanes import Lane
from smsapp.recipients.phone import KINDS_IN_WORDS, NUMBER_REFUSED
from smsapp.runtime import Runtime
from smsapp.sending.accept import (
    UntimelyError,
    accept_message,
    find_sent,
    store_together,
)
from smsapp.sending.backpressure import Backpressure
from smsapp.sending.documents import dry_run_view
from smsapp.sending.draft import Draft, content_fault
from smsapp.sending.preview import preview_message
from smsapp.sending.recipient_limit import RecipientLimitError
from smsapp.sending.schemas import SendRequest
from smsapp.sending.sender_pool import sender_for
from smsapp.suppressions.check import RecipientOptedOutError
from smsapp.templates.fill import filled_text
from smsapp.web.auth import Caller
from smsapp.web.consumer_urls import checked_url
from smsapp.web.problems import Fault, ProblemError, invalid_request
from smsapp.web.request_context import RequestContext, meaning
from smsapp.web.responses import answer_headers

PATH = "/sms/send"
_MAX_TOGETHER = 200


@dataclass(frozen=True, slots=True)
class Sent:
    """A successful answer."""

    document: dict[str, Any]
    status: int
    headers: Mapping[str, str]


class SendEndpoint:
    """Accepts texts; concurrent requests share a transaction."""

    def __init__(self, rt: Runtime) -> None:
        self._rt = rt
        self._backpressure = Backpressure(rt)
        self._accepting = GroupCommit(partial(store_together, rt), limit=_MAX_TOGETHER)

    def identify(
        self, caller: Caller, key: str | None, data: SendRequest, body: bytes
    ) -> IdempotentRequest | None:
        """Return what identifies a retry of a request, or None without a key. `body` is the raw request body."""
        if key is None:
            return None
        secrets = self._rt.settings.auth_tokens
        return identify(caller.key_id, key, PATH, meaning(data), secrets=secrets, raw=body)

    def preview(self, data: SendRequest, context: RequestContext) -> dict[str, Any]:
        """Return the dry run of a text; nothing is stored."""
        draft = self._draft(data, context)
        return dry_run_view(draft, preview_message(self._rt, draft))

    def take(self, data: SendRequest, context: RequestContext) -> Sent:
        """Store a text and return the answer.

        Raises:
            ProblemError: this request cannot be fulfilled.
            OverloadedError: the backlog has reached its limit.
        """
        self._backpressure.check()
        try:
            # The template may have changed by the time a request is retried, so look for the stored answer first.
            # It may have been allowed then, too.
            refused = data.to.kind in self._rt.settings.refuse_number_types
            before = find_sent(self._rt, context.idempotent) if data.template or refused else None
            if refused and data.to.kind and before is None:
                sentence = f"Is {KINDS_IN_WORDS[data.to.kind]}; those are refused here."
                raise invalid_request(Fault("/to", NUMBER_REFUSED, sentence))
            accepted = before or self._accept(self._draft(data, context), context.idempotent)
        except RecipientOptedOutError:
            detail = "The recipient has opted out of messages from this sender."
            raise ProblemError(
                422, "recipient_opted_out", detail, [Fault("/to", "opted_out", detail)]
            ) from None
        except RecipientLimitError:
            detail = "The recipient has got as many messages within 24 hours as are allowed."
            raise ProblemError(
                422, "recipient_limit", detail, [Fault("/to", "recipient_limit", detail)]
            ) from None
        except UntimelyError as error:
            late = error.fault
            raise invalid_request(Fault(f"/{late.field}", late.code, late.sentence)) from None
        return Sent(accepted.answer, 202, answer_headers(accepted, f"/sms/messages/{accepted.answer['id']}"))

    def _accept(self, draft: Draft, request: IdempotentRequest | None) -> Answered:
        warnings = (
            []
            if draft.recipient.valid
            else ["to: this number is possible, but no such number is known to exist"]
        )
        return accept_message(
            self._rt,
            draft,
            render=partial(message_view, warnings=warnings),
            request=request,
            group=self._accepting,
        )

    def _text(self, data: SendRequest, caller: Caller) -> str:
        if data.template is None:
            return data.body or ""
        owner = caller.application_id
        return filled_text(self._rt, owner, data.template, data.template_version, data.values or {})

    def _draft(self, data: SendRequest, context: RequestContext) -> Draft:
        settings = self._rt.settings
        sender, service = sender_for(settings, data.to.e164, data.sender, data.messaging_service_sid)
        content = compose(self._text(data, context.caller), data.media_urls, data.options)
        fault = content_fault(content, sender, service, data.to.e164, data.plan)
        if fault:
            raise invalid_request(Fault(f"/{fault.field}", fault.code, fault.sentence))
        return Draft(
            recipient=data.to,
            sender=sender,
            messaging_service_sid=service,
            content=content,
            api_key_id=context.caller.key_id,
            client_reference=data.client_reference,
            tags=data.tags,
            callback_url=checked_url(settings, data.callback_url, "/callback_url"),
            request_id=context.request_id,
            on_unconfirmed=data.on_unconfirmed or settings.on_unconfirmed,
            resend_after_failure=data.resends(settings),
            on_failure=data.plan,
            sensitive=data.sensitive,
            send_at=data.send_at,
            deliver_by=data.deliver_by,
            # A recipient who waits for a code is awake.
            quiet_hours=None
            if data.urgent or data.priority == "otp"
            else data.quiet_hours or context.caller.quiet_hours,
            lane=Lane.of(data.priority),
        )
