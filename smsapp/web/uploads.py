"""Files in requests: spooled to disk, and read in turns so that other requests of the process go on."""

import hashlib
import time
from collections.abc import Iterable, Iterator
from tempfile import SpooledTemporaryFile
from typing import IO

from flask import request
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from smsapp.uploads.rows import RawRow

_IN_MEMORY = 256 * 1024
_ROWS_AT_A_TIME = 40
"""A few milliseconds' work; a callback that comes meanwhile waits no longer than that."""
_PAUSE_S = 0.0005
"""Not 0: gevent would run only greenlets that are ready, and not look who has something to read."""


def spool_file() -> IO[bytes]:
    """Return a file that is in memory while it is small, and gone once it is closed."""
    return SpooledTemporaryFile(max_size=_IN_MEMORY)


def in_turns(rows: Iterable[RawRow]) -> Iterator[RawRow]:
    """Yield rows, and let other requests of this process have their turn between them."""
    for number, row in enumerate(rows):
        if number % _ROWS_AT_A_TIME == 0:
            give_way()
        yield row


def give_way() -> None:
    """Let this process do what else there is to do."""
    time.sleep(_PAUSE_S)


class Patient:
    """A file that gives way before each block: options are looked for in all of it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.seek = file.seek

    def read(self, size: int) -> bytes:
        """Return the next block."""
        give_way()
        return self._file.read(size)


MAX_UPLOAD_BYTES = 64 * 1024 * 1024


_BLOCK = 64 * 1024


def take(spool: IO[bytes]) -> bytes:
    """Take the request's body, block by block, and return its digest.

    Raises:
        ClientDisconnected: it ended before its announced length.
    """
    digest = hashlib.sha256()
    size = 0
    for block in iter(lambda: request.stream.read(_BLOCK), b""):
        digest.update(block)
        spool.write(block)
        size += len(block)
    if request.content_length is not None and size < request.content_length:
        raise ClientDisconnected  # werkzeug leaves this to the server, and gunicorn to the application
    if request.content_length is None and size >= MAX_UPLOAD_BYTES:
        raise RequestEntityTooLarge  # of a body without a length, what is beyond the limit is silently dropped
    spool.seek(0)
    return digest.digest()
