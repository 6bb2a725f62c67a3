"""Files in requests: spooled to disk, and read in short slices so that the process keeps serving other requests.

An aborted upload leaves nothing behind, and memory use does not grow with its size.
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
from smsapp.web.plain_http import media_type
from smsapp.web.problems import ProblemError

MAX_UPLOAD_BYTES = 64 * 1024 * 1024

_CHARSET = "utf-8"  # unless the request names another
_IN_MEMORY = 256 * 1024
_BLOCK = 64 * 1024
_TURN_S = 0.005
"""A callback that arrives in between waits no longer than this, or than one row takes: rows may be long."""
_PAUSE_S = 0.0005
"""Not 0: gevent would then run only greenlets that are ready, and never poll the sockets."""


@dataclass(frozen=True, slots=True)
class UploadedForm:
    """A form: its fields, its `file` if it has one, and the file's digest."""

    fields: Mapping[str, Sequence[str]]
    file: IO[bytes] | None
    charset: str
    digest: bytes


class IncomingUpload:
    """A request whose body is a file, perhaps of megabytes; the body is read only on demand."""

    def __init__(self, incoming: Request) -> None:
        incoming.max_content_length = MAX_UPLOAD_BYTES
        incoming.environ["wsgi.input"] = YieldingFile(incoming.environ["wsgi.input"])
        self._request = incoming
        self.media_type: str = media_type(incoming.headers.get("Content-Type", ""))
        self.charset: str = incoming.mimetype_params.get("charset", _CHARSET)
        self.query: Mapping[str, Sequence[str]] = incoming.args.to_dict(flat=False)
        self.query_string: bytes = incoming.query_string

    def receive(self, spool: IO[bytes]) -> bytes:
        """Write the whole body to `spool`, rewind it, and return its digest.

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
            if announced is None and size >= MAX_UPLOAD_BYTES:
                # werkzeug silently truncates a body without a length at the limit.
                raise RequestEntityTooLarge
        spool.seek(0)
        return digest.digest()

    def read_form(self) -> UploadedForm:
        """Return the body as a form; its file is on disk and is deleted with the request.

        Raises:
            ProblemError: it is larger than MAX_UPLOAD_BYTES.
            ClientDisconnected: it ended early.
        """
        with _reading_the_body():
            fields = self._request.form.to_dict(flat=False)
            file = self._request.files.get("file")
            digest = hashlib.sha256()
            if file is None:
                return UploadedForm(fields, None, _CHARSET, digest.digest())
            for block in _blocks(YieldingFile(file.stream)):
                digest.update(block)
            file.stream.seek(0)
        charset = file.mimetype_params.get("charset", _CHARSET)
        return UploadedForm(fields, file.stream, charset, digest.digest())


class YieldingFile:
    """A file that yields to other requests between blocks, also when all of it is there at once.

    A socket that always has data, or a file in the cache, is read without a pause otherwise.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._turn = _Turn()

    def read(self, size: int = -1) -> bytes:
        """Return the next block."""
        self._turn.take()
        return self._file.read(size)

    def seek(self, offset: int) -> int:
        """Go to a place in the file."""
        return self._file.seek(offset)


def incoming_upload() -> IncomingUpload:
    """Return the current request as an upload."""
    return IncomingUpload(request)


def spool_file() -> IO[bytes]:
    """Return a temporary file that is kept in memory while small, and deleted on close."""
    return SpooledTemporaryFile(max_size=_IN_MEMORY)


def in_turns(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """Yield rows, and let other requests of this process run in between."""
    turn = _Turn()
    for row in rows:
        turn.take()
        yield row


class _Turn:
    """A share of the process's time; when it is used up, others run."""

    def __init__(self) -> None:
        self._began = 0.0

    def take(self) -> None:
        """Give way to others if this turn is over."""
        if time.monotonic() - self._began > _TURN_S:
            give_way()
            self._began = time.monotonic()


def give_way() -> None:
    """Let other greenlets of this process run."""
    time.sleep(_PAUSE_S)


@contextmanager
def _reading_the_body() -> Iterator[None]:
    """Distinguish a body that is too large from a broken connection."""
    try:
        yield
    except RequestEntityTooLarge:
        raise ProblemError(413, "too_large", "The upload is larger than 64 MiB; send several.") from None
    except OSError:
        raise ClientDisconnected from None


def _blocks(file: IO[bytes] | YieldingFile) -> Iterator[bytes]:
    return iter(lambda: file.read(_BLOCK), b"")
