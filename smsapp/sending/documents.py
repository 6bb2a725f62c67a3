"""Dry runs as callers see them."""

from typing import Any

from smsapp.content.rules import shown_options
from smsapp.content.segments import find_offenders
from smsapp.sending.draft import Draft
from smsapp.sending.preview import Preview
from smsapp.sending.verdict import worst
from smsapp.times import optional_rfc3339


def dry_run_view(draft: Draft, preview: Preview) -> dict[str, Any]:
    """Return the result of a dry run as callers see it."""
    content, price = draft.content, preview.price
    measure = content.measure
    return {
        "dry_run": True,
        "verdict": worst(preview.findings),
        "checks": [
            {
                "check": f.check,
                "verdict": f.verdict,
                "code": f.code,
                "detail": f.detail,
                "until": optional_rfc3339(f.until),
            }
            for f in preview.findings
        ],
        "to": draft.recipient.e164,
        "country": draft.recipient.region,
        "from": draft.sender,
        "messaging_service_sid": draft.messaging_service_sid,
        "body": None if draft.sensitive or content.content_sid else content.body,
        "media_urls": content.media_urls,
        **shown_options(content.options, sensitive=draft.sensitive),
        "encoding": measure.encoding,
        "segments": measure.segments,
        "units": measure.units,
        "units_per_segment": measure.units_per_segment,
        "units_left": measure.remaining,
        "offending_characters": [
            {
                "character": offender.character,
                "code_point": f"U+{ord(offender.character):04X}",
                "positions": list(offender.positions),
            }
            for offender in (find_offenders(content.body) if measure.offenders else ())
        ],
        "price": price
        and {
            "amount": str(price.amount),
            "per_segment": str(price.per_segment),
            "currency": price.currency,
        },
    }
