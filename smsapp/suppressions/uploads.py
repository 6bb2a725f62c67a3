"""Read the upload of an import: all of it is parsed before the first row is stored."""

from collections.abc import Iterable
from typing import IO

from smsapp.suppressions.rows import EXPORTED, RECIPIENT
from smsapp.uploads.csv_rows import CsvRows
from smsapp.uploads.json_rows import read_options, read_rows
from smsapp.uploads.rows import MAX_ROWS, RawRow, UnreadableUpload
from smsapp.web.problems import Fault, ProblemError, invalid_request
from smsapp.web.uploads import IncomingUpload, YieldingFile, in_turns


def read_upload(incoming: IncomingUpload, spool: IO[bytes]) -> Iterable[RawRow]:
    """Write the request's body to `spool` and return its rows, all of which are readable.

    Raises:
        ProblemError: the body is neither JSON nor CSV, or the JSON has members other than rows.
        UnreadableUpload: it holds no rows, or not all of them are readable.
    """
    if incoming.media_type == "application/json":
        return _read_json(incoming, spool)
    if incoming.media_type == "text/csv":
        return _read_csv(incoming, spool)
    raise ProblemError(415, "unsupported_media_type", "Send text/csv or application/json.")


def _read_json(incoming: IncomingUpload, spool: IO[bytes]) -> Iterable[RawRow]:
    incoming.receive(spool)
    if read_options(YieldingFile(spool))[0]:
        raise invalid_request(Fault("", "unknown_field", "There is no field but `rows`."))
    _check(read_rows(spool))
    return in_turns(read_rows(spool))


def _read_csv(incoming: IncomingUpload, spool: IO[bytes]) -> Iterable[RawRow]:
    incoming.receive(spool)
    rows = CsvRows(spool, charset=incoming.charset, required=RECIPIENT, exported=EXPORTED)
    _check(rows)
    rows.let_go()
    return in_turns(CsvRows(spool, charset=incoming.charset, required=RECIPIENT, exported=EXPORTED))


def _check(rows: Iterable[RawRow]) -> None:
    """Read all rows once, to refuse the whole upload before the first one is stored."""
    for count, _ in enumerate(in_turns(rows), start=1):
        if count > MAX_ROWS:
            raise UnreadableUpload("too_many_rows", f"An import has at most {MAX_ROWS:,} rows; send several.")
