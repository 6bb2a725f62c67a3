"""What `POST /sms/jobs` does with a readable upload."""

from smsapp.bulk.create import create_job
from smsapp.bulk.documents import job_view
from smsapp.bulk.draft import JobDraft, RowPattern
from smsapp.bulk.queries import Progress
from smsapp.bulk.uploads import Upload
from smsapp.content.rules import compose
from smsapp.db.idempotency import Answered, IdempotentRequest, find_answer, identify
from smsapp.runtime import Runtime
from smsapp.sending.accept import UntimelyError
from smsapp.sending.draft import content_fault
from smsapp.templates.fill import stored_text
from smsapp.templates.rules import TEMPLATE_FAULTS, MalformedTemplate, Template, parse_template
from smsapp.web.auth import Caller
from smsapp.web.consumer_urls import checked_url
from smsapp.web.problems import Fault, invalid_request
from smsapp.web.request_context import RequestContext, meaning
from smsapp.web.uploads import in_turns

PATH = "/sms/jobs"


def identify_upload(rt: Runtime, caller: Caller, key: str | None, upload: Upload) -> IdempotentRequest | None:
    """Return the fingerprint by which a repeated upload is recognized, or None without an Idempotency-Key."""
    return identify(
        caller.key_id,
        key,
        PATH,
        meaning(upload.options) + b"\n" + upload.rows_digest,
        secrets=rt.settings.auth_tokens,
        raw=upload.raw,
    )


def make_job(rt: Runtime, upload: Upload, context: RequestContext) -> Answered:
    """Store the job that an upload describes.

    Raises:
        IdempotencyKeyReusedError: the key was used for another request.
        ProblemError: an option cannot be met.
        UnreadableUpload: the upload cannot be used.
    """
    # The lookup comes first: by the time of a repeat, the template may have changed or the time passed.
    if before := find_answer(rt.sessions, context.idempotent):
        return before
    try:
        return create_job(
            rt,
            _draft(rt, upload, context),
            in_turns(upload.rows),
            render=lambda job, faulty: job_view(job, Progress(), faulty, rt.settings),
            request=context.idempotent,
        )
    except UntimelyError as error:
        late = error.fault
        raise invalid_request(Fault(upload.pointer(late.field), late.code, late.sentence)) from None


def _draft(rt: Runtime, upload: Upload, context: RequestContext) -> JobDraft:
    options = upload.options
    settings = rt.settings
    body, version = options.body or "", None
    if options.template is not None:
        stored = stored_text(
            rt,
            context.caller.application_id,
            options.template,
            options.template_version,
            upload.pointer("template"),
        )
        body, version = stored.body, stored.version
    pattern = RowPattern(
        _parsed(body, upload.pointer("body")) if body else None,
        {
            name: _parsed(value, f"{upload.pointer('content_variables')}/{name}")
            for name, value in (options.content_variables or {}).items()
        },
        options.media_urls,
        options.options,
        settings.refuse_number_types,
    )
    _check_options(rt, upload, body, pattern)
    return JobDraft(
        api_key_id=context.caller.key_id,
        body=body,
        pattern=pattern,
        template_name=options.template,
        template_version=version,
        sender=options.sender,
        messaging_service_sid=options.messaging_service_sid,
        on_unconfirmed=options.on_unconfirmed or settings.on_unconfirmed,
        resend_after_failure=options.resends(settings),
        on_failure=options.plan,
        name=options.name,
        tags=options.tags,
        callback_url=checked_url(settings, options.callback_url, upload.pointer("callback_url")),
        sensitive=options.sensitive,
        send_at=options.send_at,
        deliver_by=options.deliver_by,
        quiet_hours=None if options.urgent else options.quiet_hours or context.caller.quiet_hours,
        ignored_columns=upload.unused_columns(pattern),
        allow_duplicates=options.allow_duplicates,
        start=options.start,
        request_id=context.request_id,
    )


def _parsed(text: str, pointer: str) -> Template:
    try:
        return parse_template(text)
    except MalformedTemplate as error:
        raise invalid_request(Fault(pointer, error.reason, TEMPLATE_FAULTS[error.reason])) from None


def _check_options(rt: Runtime, upload: Upload, body: str, pattern: RowPattern) -> None:
    """Refuse options that the job's sender cannot meet; each row's recipient is checked with the row."""
    options = upload.options
    sender, service = options.sender, options.messaging_service_sid
    if not (sender or service):
        service = rt.settings.twilio_messaging_service_sid
        sender = None if service else rt.settings.twilio_phone_number[0]
    content = compose(body, pattern.media_urls, pattern.options)
    fault = content_fault(content, sender, service, "", options.plan)
    if fault:
        raise invalid_request(Fault(upload.pointer(fault.field), fault.code, fault.sentence))
