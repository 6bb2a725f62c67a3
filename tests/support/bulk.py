"""A busy caller: many texts through POST /sms/send, each retried with the same key until it is accepted."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from itertools import repeat
from uuid import uuid4

import orjson
import urllib3

_PAUSE_S = 0.2
_REPEATED = frozenset({409, 429, 503})


def POSSIBLE_NUMBER(number: int) -> str:  # noqa: N802 - used as a constant: the default way to choose a number
    """Return a distinct number for each of 20,000 texts, none with digits that the simulator reacts to."""
    return f"+155520{number % 20_000:05d}"


def send_bulk(
    url: str,
    api_key: str,
    count: int,
    *,
    to: str | Callable[[int], str],
    concurrency: int,
    rate: float | None,
    patience_s: float,
    fields: Mapping[str, object],
) -> dict[str, str]:
    """Send `count` texts, each with a body of its own; return those bodies by accepted id.

    Raises:
        RuntimeError: one was refused, or not accepted before `patience_s` were over.
    """
    run = uuid4().hex[:12]
    began = time.monotonic()
    numbers = iter(range(count))
    next_number = threading.Lock()
    headers = {"Authorization": f"Bearer {api_key}", "Content-Type": "application/json"}

    def numbered() -> Iterator[int]:
        while True:
            with next_number:
                number = next(numbers, None)
            if number is None:
                return
            yield number

    def send_some(pool: urllib3.HTTPConnectionPool) -> dict[str, str]:
        accepted = {}
        for number in numbered():
            if rate:
                time.sleep(max(0.0, began + number / rate - time.monotonic()))
            body = f"{run} {number}"
            recipient = to if isinstance(to, str) else to(number)
            document = orjson.dumps({"to": recipient, "body": body, **fields})
            key = {"Idempotency-Key": f"{run}-{number}"}
            accepted[_until_accepted(pool, document, headers | key, patience_s)] = body
        return accepted

    with (
        urllib3.connection_from_url(url, maxsize=concurrency, timeout=15.0, retries=False) as pool,
        ThreadPoolExecutor(concurrency) as threads,
    ):
        parts = list(threads.map(send_some, repeat(pool, concurrency)))
    return {message_id: body for part in parts for message_id, body in part.items()}


def _until_accepted(
    pool: urllib3.HTTPConnectionPool, document: bytes, headers: Mapping[str, str], patience_s: float
) -> str:
    deadline = time.monotonic() + patience_s
    while True:
        try:
            answer = pool.urlopen("POST", "/sms/send", body=document, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            seen = type(error).__name__
        else:
            if answer.status == 202:
                return str(orjson.loads(answer.data)["id"])
            seen = f"{answer.status} {answer.data[:500].decode('utf-8', 'replace')}"
            unpromised = answer.status == 503 and not answer.headers.get("Retry-After")
            if answer.status not in _REPEATED or unpromised:
                raise RuntimeError(f"refused: {seen}")
        if time.monotonic() > deadline:
            raise RuntimeError(f"not accepted after {patience_s} s: {seen}")
        time.sleep(_PAUSE_S)
