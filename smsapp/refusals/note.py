"""Count refused callbacks, and find out why for a sample: beside the answers, so that a flood of them costs nothing.

A refusal costs its request a number and perhaps a reference. One thread (with gevent a greenlet) analyses at most one
request of each reason a second and writes what it found, with how many were alike in being refused for that reason. It
also logs them, a line for each reason: a line for each request would fill a disk.
"""

import random
import threading
from typing import NamedTuple
from uuid import UUID

import structlog
from sqlalchemy.exc import SQLAlchemyError

from smsapp.db import counters
from smsapp.db.sessions import writing_at_once
from smsapp.refusals import queries as refusals
from smsapp.refusals.rules import Refusal, plain_host, plain_names, plain_path
from smsapp.runtime import Runtime
from smsapp.twilio.diagnose import SeenRequest, find_signed_address
from smsapp.twilio.forms import Form, parse_form
from smsapp.web.plain_http import PlainRequest

log = structlog.get_logger(__name__)

_EVERY_S = 1.0
_PATIENCE_S = 1.0
_TELLING = frozenset({"signature_invalid", "account_unknown"})
"""Reasons that are logged: such requests may be Twilio's, and then something is set up wrong."""

_MAX_ANALYSED_BYTES = 8 * 1024
"""Some 700 addresses are tried at most, each with all parameters."""


class _Sample(NamedTuple):
    kind: str
    request: PlainRequest
    request_id: UUID
    times: int


class RefusedCallbacks:
    """Remembers what this process refuses, and writes it to the database soon."""

    def __init__(self, rt: Runtime, *, every_s: float = _EVERY_S) -> None:
        self._rt = rt
        self._every_s = every_s
        self._samples: dict[str, _Sample] = {}
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def note(self, kind: str, reason: str, request: PlainRequest, request_id: UUID) -> None:
        """Remember a refusal; never raises, and never waits for the database.

        Of several between two writes each has the same chance of being the one that is analysed: a flood of forgeries
        does not hide Twilio's own requests.
        """
        with self._lock:
            known = self._samples.get(reason)
            times = known.times + 1 if known else 1
            if known is None or random.random() * times < 1:  # noqa: S311 - a sample, no secret
                known = _Sample(kind, request, request_id, times)
            self._samples[reason] = known._replace(times=times)
            if self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._work, name="refused-callbacks", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Write what is left, and stop."""
        self._closed.set()
        thread = self._thread
        if thread:
            thread.join()

    def _work(self) -> None:
        while True:
            with self._lock:
                samples, self._samples = self._samples, {}
                if not samples:
                    self._thread = None
                    return
            self._write(samples)
            self._closed.wait(self._every_s)

    def _write(self, samples: dict[str, _Sample]) -> None:
        now = self._rt.clock()
        for reason, sample in samples.items():
            if reason in _TELLING:
                # Not the address: whoever sends this may have put anything into it.
                log.warning(
                    "callback_refused",
                    kind=sample.kind,
                    reason=reason,
                    count=sample.times,
                    request_id=str(sample.request_id),
                )
        found = [(self._analyse(reason, sample), sample.times) for reason, sample in sorted(samples.items())]
        try:
            with writing_at_once(self._rt.sessions, patience_s=_PATIENCE_S) as session:
                for refusal, count in found:
                    counters.add(session, f"callbacks_refused:{refusal.reason}", count)
                    refusals.add(session, refusal, count=count, now=now)
                refusals.bound(session)
        except SQLAlchemyError as error:
            log.warning(
                "refusals_not_kept", count=sum(count for _, count in found), error=type(error).__name__
            )

    def _analyse(self, reason: str, sample: _Sample) -> Refusal:
        request = sample.request
        form = _form(request.body)
        seen = SeenRequest(
            raw_target=request.raw_target,
            host=request.fields.get("host", ""),
            scheme=request.fields.get("x-forwarded-proto", "http"),
            forwarded_host=request.fields.get("x-forwarded-host", ""),
            forwarded_port=request.fields.get("x-forwarded-port", ""),
            forwarded_prefix=request.fields.get("x-forwarded-prefix", ""),
        )
        signed = None
        if reason == "signature_invalid" and len(request.body) <= _MAX_ANALYSED_BYTES:
            settings = self._rt.settings
            signed = find_signed_address(
                seen,
                form,
                request.fields.get("x-twilio-signature", ""),
                base_url=settings.app_base_url,
                tokens=settings.auth_tokens,
            )
        return Refusal(
            kind=sample.kind,
            reason=reason,
            path=plain_path(request.path, request.raw_target),
            scheme=seen.scheme if seen.scheme in {"http", "https"} else "other",
            host=plain_host(seen.host),
            parameters=plain_names([name for name, _ in form]),
            account=self._account(form),
            signed=signed and signed._replace(url=_without_target(signed.url, request.path)),
        )

    def _account(self, form: Form) -> str:
        named = {value.lower() for name, value in form if name == "AccountSid"}
        if not named:
            return "none"
        return "ours" if named <= self._rt.settings.account_sids else "other"


def _form(body: bytes) -> Form:
    try:
        return parse_form(body.decode())
    except ValueError:
        return []


def _without_target(url: str, path: str) -> str:
    """Return the signed address without the part that names a message, or whatever stands there."""
    return url if plain_path(path, "") == path else url.rpartition("/")[0] + "/…"
