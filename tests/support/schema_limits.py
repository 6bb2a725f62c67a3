"""What a JSON Schema cannot say of a request, as hooks of Schemathesis: the rules by which a request that fits the API
document is refused all the same, and the uploads whose rows need not fit it.

Each rule names an operation, a pointer and a code. Any other refusal of a fitting request is a failure, as it is
without this file.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import schemathesis
from schemathesis import Case, HookContext, Response
from schemathesis.core.failures import AcceptedNegativeData, Failure
from schemathesis.core.parameters import ParameterLocation
from schemathesis.generation.meta import CoveragePhaseData, CoverageScenario
from schemathesis.openapi.checks import RejectedPositiveData

MAX_REQUEST_LINE = 4094
"""gunicorn's limit: it refuses longer ones before the service sees them."""

COLUMNS = {"createJob": "to,name", "importSuppressions": "recipient,note"}


@dataclass(frozen=True, slots=True)
class Limit:
    """A rule beyond the schema; all but the reason are regular expressions that must match completely."""

    operations: str
    pointers: str
    codes: str
    reason: str
    media_types: str = ".*"


_ANY = r"\w+"
_SENDS = "sendMessage|createJob"
_UPLOADS = "createJob|importSuppressions"
_FILES = "text/csv|multipart/form-data"
LIMITS = (
    Limit(_ANY, r"(\?|.*/)(to|recipient)", "invalid", "numbering plans know what is possible"),
    Limit(_ANY, r"(\?|.*/)(from|sender)", "invalid", "so they do of senders; a word is short"),
    Limit(_ANY, r"\?(created|received)_until", "invalid", "later than the other end"),
    Limit(_ANY, r"/url|[/?]callback_url|/media_urls/\d+", "invalid", "a public host, and https"),
    Limit(_ANY, r"Idempotency-Key", "reused", "a key was used before"),
    Limit(_SENDS, r"[/?](send_at|deliver_by)", "past|out_of_range|invalid", "ahead, but not far"),
    Limit(_SENDS, r"[/?]quiet_hours", "invalid", "not as long as a day"),
    Limit(_SENDS, r"[/?]on_failure", "invalid", "excludes resend_after_failure"),
    Limit(_SENDS, r"/on_failure/steps/\d+", "invalid", "some members exclude or need others"),
    Limit(_SENDS, r"/on_failure/steps/\d+/after", "invalid", "at most 72 hours"),
    Limit(_SENDS, r"[/?]template", "unknown", "templates come and go"),
    Limit("sendMessage", "/to", "opted_out", "somebody was suppressed before"),
    Limit("addSuppression", "", "invalid", "a sender excludes a Messaging Service"),
    Limit(_SENDS, r"[/?](shorten_urls|send_as_mms)", "invalid", "not every sender can"),
    Limit(_SENDS, r"[/?]content_variables.*", "invalid", "no five spaces in a row"),
    Limit("createJob", r"\?content_variables", "wrong_type", "JSON in a text"),
    Limit("createJob", r"[/?]content_variables.*", "lone_braces|bad_placeholder", "braces pair"),
    Limit(
        "create(Job|Template|TemplateVersion)",
        r"[/?](body|text)",
        "lone_braces|bad_placeholder",
        "braces pair",
    ),
    Limit(
        "createJob",
        r"[/?](body|text|template_version|media_urls|content_\w+)",
        "invalid|required",
        "one text",
        _FILES,
    ),
    Limit("createJob", r"\?\w+", "unknown_field", "options of CSV alone", "(?!text/csv).*"),
    Limit(
        _UPLOADS,
        "",
        "(missing|repeated)_column|malformed_csv|no_rows|too_many_columns",
        "form of CSV",
        _FILES,
    ),
    Limit(_UPLOADS, "Content-Type", "wrong_charset", "and a character set", _FILES),
)


@schemathesis.hook
def map_case(context: HookContext, case: Case) -> Case:
    """Keep most generated requests within the limits, too, so that they get further than validation."""
    if case.meta is None or not case.meta.generation.mode.is_positive:
        return case
    if "Idempotency-Key" in case.headers:
        case.headers["Idempotency-Key"] = hashlib.sha256(repr(case.body).encode()).hexdigest()
    for given in (case.body, case.query):
        if isinstance(given, dict):
            _ahead_and_by_day(given)
    if _name(case) == "createJob":
        _one_text(case)
    if (columns := COLUMNS.get(_name(case))) and case.media_type == "text/csv":
        case.body = f"{columns}\n{case.body}"
    return case


def _ahead_and_by_day(given: dict[str, Any]) -> None:
    for name, days in {"send_at": 1, "deliver_by": 2}.items():
        if name in given:
            given[name] = (datetime.now(UTC) + timedelta(days=days)).isoformat()
    if "quiet_hours" in given:
        given["quiet_hours"] = "21:00-08:00"


def _one_text(case: Case) -> None:
    is_csv = case.media_type == "text/csv"
    options = case.query if is_csv else case.body
    if not is_csv:
        case.query = {}
    if isinstance(options, dict):
        options.pop("template", None)
        for other in ("template_version", "content_sid", "content_variables"):
            options.pop(other, None)
        name = "text" if is_csv else "body"
        options[name] = options.get(name) or "Hello!"


@schemathesis.hook
def filter_failure(context: HookContext, failure: Failure, case: Case, response: Response) -> bool:
    """Return whether it is a real failure: neither a limit, nor something ignored or reported on purpose."""
    if response.status_code == HTTPStatus.REQUEST_URI_TOO_LONG:
        return len(str(response.request.url)) < MAX_REQUEST_LINE
    if isinstance(failure, RejectedPositiveData):
        faults = _document(response).get("errors", [])
        return not faults or not all(_is_beyond_schemas(case, fault) for fault in faults)
    if isinstance(failure, AcceptedNegativeData):
        return not (_reports_rows(_name(case), response) or _has_further_headers(case))
    return True


def _name(case: Case) -> str:
    return str(case.operation.definition.raw["operationId"])


def _has_further_headers(case: Case) -> bool:
    """Return whether the only fault is unknown headers, which HTTP says to ignore."""
    about = case.meta.phase.data if case.meta else None
    return (
        isinstance(about, CoveragePhaseData)
        and about.parameter_location == ParameterLocation.HEADER
        and about.scenario == CoverageScenario.OBJECT_UNEXPECTED_PROPERTIES
    )


def _is_beyond_schemas(case: Case, fault: dict[str, Any]) -> bool:
    return any(
        re.fullmatch(limit.operations, _name(case))
        and re.fullmatch(limit.pointers, fault["pointer"])
        and re.fullmatch(limit.codes, fault["code"])
        and re.fullmatch(limit.media_types, case.media_type or "")
        for limit in LIMITS
    )


def _reports_rows(operation: str, response: Response) -> bool:
    """Return whether an upload was accepted without its faulty rows."""
    return re.fullmatch(_UPLOADS, operation) is not None and bool(_document(response).get("faults"))


def _document(response: Response) -> dict[str, Any]:
    document: dict[str, Any] = response.json()
    return document
