"""Files in requests: spooled to disk, and read in turns so that other requests of the process go on.

A cut connection leaves nothing behind, and memory does not grow with the upload.
"""

import hashlib
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from tempfile import SpooledTemporaryFile
from typing import IO

from flask import Request, request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from smsapp.uploads.rows import RawRow
from smsapp.web.problems import ProblemError

MAX_UPLOAD_BYTES = 64 * 1024 * 1024

_CHARSET = "utf-8"  # unless another is named
_IN_MEMORY = 256 * 1024
_BLOCK = 64 * 1024
_ROWS_AT_A_TIME = 40
_TURN_S = 0.005
"""A callback that comes meanwhile waits no longer than that, or than one row takes: rows may be long."""
_PAUSE_S = 0.0005
"""Not 0: gevent would run only greenlets that are ready, and not look who has something to read."""


@dataclass(frozen=True, slots=True)
class UploadedForm:
    """A form: its fields, its `file` if it has one, and a digest of that."""

    fields: Mapping[str, Sequence[str]]
    file: IO[bytes] | None
    charset: str
    digest: bytes


class IncomingUpload:
    """A request whose body is a file, perhaps of megabytes; nothing of it is read before it is asked for."""

    def __init__(self, incoming: Request) -> None:
        incoming.max_content_length = MAX_UPLOAD_BYTES
        self._request = incoming
        self.media_type: str = incoming.mimetype
        self.charset: str = incoming.mimetype_params.get("charset", _CHARSET)
        self.query: Mapping[str, Sequence[str]] = incoming.args.to_dict(flat=False)
        self.query_string: bytes = incoming.query_string

    def receive(self, spool: IO[bytes]) -> bytes:
        """Write the whole body to `spool`, go back to its beginning, and return a digest of it.

        Raises:
            ProblemError: it is larger than MAX_UPLOAD_BYTES.
            ClientDisconnected: it ended before its announced length.
        """
        announced = self._request.content_length
        digest = hashlib.sha256()
        size = 0
        with _reading_the_body():
            for block in _blocks(self._request.stream):
                digest.update(block)
                spool.write(block)
                size += len(block)
            if announced is not None and size < announced:
                raise ClientDisconnected  # werkzeug leaves this to the server, and gunicorn to the application
            if announced is None and size >= MAX_UPLOAD_BYTES:
                # Of a body without a length, what is beyond the limit is silently dropped.
                raise RequestEntityTooLarge
        spool.seek(0)
        return digest.digest()

    def read_form(self) -> UploadedForm:
        """Return the body as a form; its file is on disk and goes with the request.

        Raises:
            ProblemError: it is larger than MAX_UPLOAD_BYTES.
            ClientDisconnected: it was cut.
        """
        with _reading_the_body():
            fields = self._request.form.to_dict(flat=False)
            file = self._request.files.get("file")
            digest = hashlib.sha256()
            if file is None:
                return UploadedForm(fields, None, _CHARSET, digest.digest())
            for block in _blocks(file.stream):
                digest.update(block)
            file.stream.seek(0)
        charset = file.mimetype_params.get("charset", _CHARSET)
        return UploadedForm(fields, file.stream, charset, digest.digest())


class YieldingFile:
    """A file that lets other requests have their turn before each block: options are looked for in all of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek

    def read(self, size: int) -> bytes:
        """Return the next block."""
        give_way()
        return self._file.read(size)


def incoming_upload() -> IncomingUpload:
    """Return the current request as an upload."""
    return IncomingUpload(request)


def spool_file() -> IO[bytes]:
    """Return a file that is in memory while it is small, and gone once it is closed."""
    return SpooledTemporaryFile(max_size=_IN_MEMORY)


def in_turns(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """Yield rows, and let other requests of this process have their turn between them."""
    began = 0.0
    for number, row in enumerate(rows):
        if number % _ROWS_AT_A_TIME == 0 or time.monotonic() - began > _TURN_S:
            give_way()
            began = time.monotonic()
        yield row


def give_way() -> None:
    """Let this process do what else there is to do."""
    time.sleep(_PAUSE_S)


@contextmanager
def _reading_the_body() -> Iterator[None]:
    """Tell a body that is too large from a connection that broke."""
    try:
        yield
    except RequestEntityTooLarge:
        raise ProblemError(413, "too_large", "The upload is larger than 64 MiB; send several.") from None
    except OSError:
        raise ClientDisconnected from None


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_BLOCK), b"")
