"""Turn an uploaded row into a text that can be sent, or into the reason why it cannot."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from types import MappingProxyType
from uuid import UUID

from smsapp.bulk.draft import RowPattern
from smsapp.content.rules import CONTENT_VARIABLES, Content, value_fault
from smsapp.content.segments import MAX_BODY_CHARS
from smsapp.recipients.identity import identity
from smsapp.recipients.phone import (
    NUMBER_REFUSED,
    PHONE_FAULTS,
    WHATSAPP,
    InvalidPhoneNumber,
    Recipient,
    parse_recipient,
)
from smsapp.sending.prices import ANYWHERE
from smsapp.templates.rules import FILLING_FAULTS, MISSING_VALUE, TEXT_TOO_LONG, MissingValue
from smsapp.text import UNSTORABLE, is_blank
from smsapp.uploads.rows import MAX_ROWS, RawRow, UnreadableUpload

MAX_REFERENCE_CHARS = 255
TO = "to"
REFERENCE = "client_reference"

_MAX_SHOWN_CHARS = 64


class RowState(StrEnum):
    """The state of a row until it is a message; from then on the message's status applies."""

    FAULTY = "faulty"
    DUPLICATE = "duplicate"  # an earlier row has the same number and text
    OPTED_OUT = "opted_out"
    WAITING = "waiting"
    STORED = "stored"  # as a message
    REFUSED = "refused"  # valid when uploaded, but no message could be made of it later
    CANCELED = "canceled"


class _FaultyRow(ValueError):
    def __init__(self, reason: str, column: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.column = column


@dataclass(frozen=True, slots=True)
class CheckedRow:
    """A row with its text if it can be sent, else with the reason why not.

    `region` is the recipient's country (ISO 3166-1 alpha-2), None for numbers that belong to no country.
    """

    line: int
    state: RowState
    to: str | None
    body: str | None = None
    content_variables: dict[str, str] | None = None
    segments: int = 0
    client_reference: str | None = None
    region: str | None = None
    reason: str | None = None
    column: str | None = None

    def refused(self, state: RowState, reason: str) -> "CheckedRow":
        """Return the row marked as not to be sent."""
        return replace(self, state=state, reason=reason, body=None, content_variables=None, segments=0)


@dataclass(frozen=True, slots=True)
class RowTotals:
    """How many rows are in each state, and how many segments go to each country; ANYWHERE is numbers of none."""

    states: Counter[RowState] = field(default_factory=Counter)
    segments: Counter[str] = field(default_factory=Counter)

    def add(self, row: CheckedRow) -> None:
        """Count one more."""
        self.states[row.state] += 1
        self.segments[row.region or ANYWHERE] += row.segments


@dataclass(frozen=True, slots=True)
class SettledRow:
    """What became of a waiting row: a message, or the reason why it was refused."""

    number: int
    state: RowState
    message_id: UUID | None = None
    reason: str | None = None


def check_rows(
    rows: Iterable[RawRow], pattern: RowPattern, *, allow_duplicates: bool
) -> Iterator[CheckedRow]:
    """Yield each row checked, in order.

    Raises:
        UnreadableUpload: there are too many rows, or none.
    """
    seen: set[bytes] = set()
    count = 0
    for raw in rows:
        count += 1
        if count > MAX_ROWS:
            raise UnreadableUpload(
                "too_many_rows", f"A job has at most {MAX_ROWS:,} rows; send several jobs."
            )
        checked = _check(raw, pattern)
        if checked.state is RowState.WAITING and not allow_duplicates:
            mark = _mark(checked)
            if mark in seen:
                checked = _refused(raw, RowState.DUPLICATE, "repeated")
            seen.add(mark)
        yield checked
    if not count:
        raise UnreadableUpload("no_rows", "There are no rows.")


def _mark(row: CheckedRow) -> bytes:
    """Return what two rows have in common that say the same to the same phone."""
    said = [row.body or "", *map("\0".join, sorted((row.content_variables or {}).items()))]
    return hashlib.blake2b("\0".join([identity(row.to or ""), *said]).encode(), digest_size=16).digest()


def explain_row(reason: str, column: str | None) -> str:
    """Return a sentence that says why a row is not sent."""
    phone = PHONE_FAULTS.get(reason) if column == TO else None
    if phone:
        return f"{phone[0].upper()}{phone[1:]}."
    return FILLING_FAULTS.get(reason) or _SENTENCES.get(reason, "Cannot be sent.")


def _check(raw: RawRow, pattern: RowPattern) -> CheckedRow:
    try:
        return _well_formed(raw, pattern)
    except InvalidPhoneNumber as error:
        return _refused(raw, RowState.FAULTY, error.reason, TO)
    except MissingValue as error:
        return _refused(raw, RowState.FAULTY, MISSING_VALUE, error.names[0])
    except _FaultyRow as fault:
        return _refused(raw, RowState.FAULTY, fault.reason, fault.column)


def _well_formed(raw: RawRow, pattern: RowPattern) -> CheckedRow:
    if raw.fault:
        raise _FaultyRow(raw.fault, raw.column)
    if any(UNSTORABLE.search(cell) for cell in raw.cells.values()):
        raise _FaultyRow("bad_character")
    recipient = _recipient(raw.cells.get(TO, ""))
    if recipient.kind in pattern.refused:
        raise _FaultyRow(NUMBER_REFUSED, TO)
    content = pattern.fill(raw.cells)
    _check_content(content, pattern, recipient)
    reference = raw.cells.get(REFERENCE) or None
    if reference and len(reference) > MAX_REFERENCE_CHARS:
        raise _FaultyRow("too_long", REFERENCE)
    return CheckedRow(
        raw.line,
        RowState.WAITING,
        recipient.e164,
        content.body,
        content.options.get(CONTENT_VARIABLES) if content.options else None,
        content.measure.segments,
        reference,
        recipient.region,
    )


def _check_content(content: Content, pattern: RowPattern, recipient: Recipient) -> None:
    if len(content.body) > MAX_BODY_CHARS:
        raise _FaultyRow(TEXT_TOO_LONG)
    if not content.options:
        return
    for name, value in content.options.get(CONTENT_VARIABLES, {}).items():
        if value_fault(value):
            raise _FaultyRow("unfit_value", next(iter(pattern.variables[name].names), None))
    # The sender was checked with the job.
    if content.options.get("send_as_mms") and recipient.e164.startswith(WHATSAPP):
        raise _FaultyRow("no_mms", TO)


def _recipient(cell: str) -> Recipient:
    if is_blank(cell):
        raise MissingValue(TO)
    return parse_recipient(cell)


def _refused(raw: RawRow, state: RowState, reason: str, column: str | None = None) -> CheckedRow:
    shown = UNSTORABLE.sub("", raw.cells.get(TO, ""))[:_MAX_SHOWN_CHARS]
    reference = UNSTORABLE.sub("", raw.cells.get(REFERENCE, ""))[:MAX_REFERENCE_CHARS]
    column = column and UNSTORABLE.sub("", column)
    return CheckedRow(
        raw.line, state, shown or None, client_reference=reference or None, reason=reason, column=column
    )


_SENTENCES = MappingProxyType(
    {
        "bad_character": "Contains NUL, or half of a character.",
        "deadline_passed": "Deliver_by was over before it was this row's turn.",
        "no_messaging_service": "Its links were to be shortened, and no Messaging Service is configured any more.",
        "no_mms": "A message to WhatsApp is no MMS, and this job's are sent as MMS.",
        "not_possible": "Is not a possible phone number.",
        NUMBER_REFUSED: "Is a premium, satellite or other number of a kind that is refused here.",
        "opted_out": "The recipient has opted out of messages from this sender.",
        "recipient_limit": "The recipient has got as many messages within 24 hours as are allowed.",
        "repeated_column": "Is there twice in this row.",
        "repeated": "An earlier row has the same number and the same text.",
        "too_long": "Is too long.",
        "too_many_cells": "Has more cells than there are columns.",
        "unfit_value": "A variable would have a line break, a tab, more than four spaces in a row, or be too long.",
        "wrong_type": "Must be a string or a whole number.",
    }
)
