"""Send spoiled requests to a running service, and watch how it answers each of them and the next valid one."""

import random
import re
import socket
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Lock
from typing import Self

from smsapp.web.plain_http import parse_head
from tests.support.fuzz.corpus import Names, Request
from tests.support.fuzz.mutations import mutate

HOST = "127.0.0.1"
_PATIENCE_S = 30.0
_PROBE = b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
_ANSWERED = re.compile(rb"\r\n\r\n\{.*\}$")
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3}) [^\r\n]*\r\n")
_MOST_FINDINGS = 50


@dataclass
class Report:
    """What came of a run."""

    seed: int
    count: int = 0
    plain: int = 0
    answers: Counter[int] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    took_s: float = 0.0
    slowest: tuple[float, int] = (0.0, 0)
    """Seconds, and the request's number."""

    def __str__(self) -> str:
        counts = ", ".join(f"{status}: {count}" for status, count in sorted(self.answers.items()))
        slowest_s, number = self.slowest
        return (
            f"seed {self.seed}: {self.count} requests ({self.plain} begin on the fast path) in {self.took_s:.0f} s, "
            f"the slowest (number {number}) {slowest_s:.1f} s, {len(self.findings)} findings; answers {counts}"
        )


class _Probe:
    """A kept connection on which a valid request must always be answered."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._connection: socket.socket | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def answered(self) -> bool:
        """Return whether the service answers 200; a connection that it has closed since is opened again."""
        kept = self._connection is not None
        return self._ask() or (kept and self._ask())

    def _ask(self) -> bool:
        answer = b""
        try:
            if self._connection is None:
                self._connection = socket.create_connection((HOST, self._port), timeout=_PATIENCE_S)
            self._connection.sendall(_PROBE)
            while not _ANSWERED.search(answer) and (more := self._connection.recv(65_536)):
                answer += more
        except OSError:
            answer = b""
        if not answer or b"Connection: close" in answer:
            self.__exit__()
        return answer.startswith(b"HTTP/1.1 200 ")


def exchange(port: int, pieces: list[bytes]) -> tuple[bytes, str | None]:
    """Send pieces on a connection of their own, end it, and return all that is answered, and what went wrong."""
    answer = b""
    try:
        with socket.create_connection((HOST, port), timeout=_PATIENCE_S) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with suppress(
                BrokenPipeError, ConnectionResetError
            ):  # it may answer and close before it has everything
                for piece in pieces:
                    connection.sendall(piece)
                connection.shutdown(socket.SHUT_WR)
            while more := connection.recv(65_536):
                answer += more
    except TimeoutError:
        return answer, "no end of the answer"
    except OSError as error:
        return answer, f"connection: {type(error).__name__}"
    return answer, None


def complaint(sent: bytes, answer: bytes, error: str | None) -> str | None:
    """Return what is wrong with an answer; None if nothing is."""
    statuses = [int(status) for status in _STATUS.findall(answer)]
    if bad := [status for status in statuses if status >= 500 and status != 503]:
        return f"answered {bad[0]}"
    if error == "no end of the answer":
        return error
    if b"\r\n\r\n" in sent.lstrip(b"\r\n") and not any(status >= 200 for status in statuses):
        return f"no answer ({error or 'closed'})"
    return None


def run(
    port: int,
    seeds: list[Request],
    names: Names,
    *,
    seed: int,
    count: int,
    first: int = 0,
    threads: int = 8,
    told: Callable[[str], None] = print,
) -> Report:
    """Send requests number `first` to `first + count` of the seed; each is followed by a valid one."""
    report, lock = Report(seed), Lock()

    def some(numbers: range) -> None:
        with _Probe(port) as probe:
            for number in numbers:
                rng = random.Random(f"{seed}-{number}")
                sent = mutate(rng, seeds, names)
                asked = time.monotonic()
                answer, error = exchange(port, _pieces(rng, sent))
                took_s = time.monotonic() - asked
                fault = complaint(sent, answer, error)
                if not probe.answered():
                    fault = f"{fault or 'no fault'}, and then a valid request is not answered"
                with lock:
                    report.count += 1
                    report.slowest = max(report.slowest, (took_s, number))
                    report.plain += parse_head(sent) is not None
                    report.answers.update(int(status) for status in _STATUS.findall(answer))
                    if fault and len(report.findings) < _MOST_FINDINGS:
                        finding = (
                            f"seed {seed}, number {number}: {fault}; sent {len(sent)} bytes: {sent[:1500]!r}"
                        )
                        report.findings.append(finding)
                        told(finding)

    began = time.monotonic()
    with ThreadPoolExecutor(threads) as pool:
        parts = [range(first + offset, first + count, threads) for offset in range(threads)]
        list(pool.map(some, parts))
    report.took_s = time.monotonic() - began
    return report


def _pieces(rng: random.Random, sent: bytes) -> list[bytes]:
    """Cut a request into the packets that it is sent in: mostly one."""
    if rng.random() < 0.85 or len(sent) < 2:
        return [sent]
    cuts = sorted(rng.sample(range(1, len(sent)), min(len(sent) - 1, rng.choice([1, 2, 5]))))
    return [sent[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
