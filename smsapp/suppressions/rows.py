"""Turn an import row into evidence of a suppression, or into the reason why it is faulty."""

import re
from dataclasses import dataclass
from datetime import datetime
from types import MappingProxyType
from uuid import UUID

from smsapp.recipients.phone import (
    PHONE_FAULTS,
    InvalidPhoneNumber,
    InvalidSender,
    parse_recipient,
    parse_sender,
)
from smsapp.suppressions.rules import EVERY_SENDER, OptOutEvidence, OptOutSource, is_service
from smsapp.text import normalize
from smsapp.uploads.rows import RawRow

RECIPIENT = "recipient"
SENDER = "sender"
NOTE = "note"
SOURCE = "source"
EXPORTED = (RECIPIENT, SENDER, NOTE)
MAX_RECIPIENT_CHARS = 64
MAX_NOTE_CHARS = 500

_SERVICE = re.compile(r"MG[0-9a-fA-F]{32}")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_SENTENCES = MappingProxyType(
    {
        "required": "This field is required.",
        "repeated_column": "Is there twice in this row.",
        "too_many_cells": "The row has more cells than there are columns.",
        "wrong_type": "Must be a text.",
        "too_long": "Is too long.",
        "bad_character": "Has a character that cannot be stored.",
        "not_a_sender": "Must be an E.164 number, a short code, an alphanumeric ID or a Messaging Service's SID.",
    }
)


@dataclass(slots=True)
class RowFault(Exception):
    """Why a row is refused. `line` is where it begins in a CSV file, or its number in JSON; both count from 1."""

    line: int
    code: str
    column: str | None = None

    @property
    def sentence(self) -> str:
        """Return the fault as a sentence."""
        phone = PHONE_FAULTS.get(self.code) if self.code not in _SENTENCES else None
        if phone:
            return f"{phone[0].upper()}{phone[1:]}."
        return _SENTENCES.get(self.code, "Cannot be read.")


def evidence_of(row: RawRow, *, at: datetime, api_key_id: UUID | None) -> OptOutEvidence:
    """Return the evidence in a row: `recipient`, and optionally `sender` (else every sender) and `note`.

    Other columns are ignored, except that where `source` says that the recipient texted us, as in our own export, it
    need not be a phone number: it may be a short code, for example.

    Raises:
        RowFault: the row is malformed.
    """
    if row.fault:
        raise RowFault(row.line, row.fault, row.column)
    note = row.cells.get(NOTE, "")
    if len(note) > MAX_NOTE_CHARS:
        raise RowFault(row.line, "too_long", NOTE)
    if _UNSTORABLE.search(note):
        raise RowFault(row.line, "bad_character", NOTE)
    return OptOutEvidence(
        recipient=_recipient(row),
        scopes=[_scope(row)],
        suppressed=True,
        source=OptOutSource.IMPORT,
        at=at,
        note=note if normalize(note).strip() else None,
        api_key_id=api_key_id,
    )


def _recipient(row: RawRow) -> str:
    text = normalize(row.cells.get(RECIPIENT, "")).strip()
    if not text:
        raise RowFault(row.line, "required", RECIPIENT)
    try:
        return parse_recipient(text).e164
    except InvalidPhoneNumber as error:
        if row.cells.get(SOURCE) == OptOutSource.INBOUND and len(text) <= MAX_RECIPIENT_CHARS:
            return text
        raise RowFault(row.line, error.reason, RECIPIENT) from None


def parse_scope(text: str) -> str:
    """Return the scope that a sender or a Messaging Service's SID stands for; blank is every sender.

    Raises:
        InvalidSender: the value is neither.
    """
    if not text:
        return EVERY_SENDER
    return text if is_service(text) and _SERVICE.fullmatch(text) else parse_sender(text)


def _scope(row: RawRow) -> str:
    try:
        return parse_scope(normalize(row.cells.get(SENDER, "")).strip())
    except InvalidSender as error:
        raise RowFault(row.line, error.reason, SENDER) from None
