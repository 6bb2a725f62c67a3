"""Structured logs: JSON lines in production, readable ones in a terminal, never a body, token or full number."""

import logging
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, TextIO

import orjson
import structlog

from smsapp.config import Settings

_QUIET = (
    "amqp",
    "celery.app.trace",  # our services log what a task did; Celery's line says only that it ran, every five seconds
    "celery.redirected",
    "celery.worker.strategy",
    "kombu",
    "smsapp.twilio",
    "twilio.http_client",
    "urllib3",
)
_CALLERS_WORDS = frozenset(
    {
        "auth_token",
        "authorization",
        "body",
        "content_variables",
        "options",
        "secret",
        "signature",
        "token",
    }
)


def configure(settings: Settings, *, stream: TextIO = sys.stdout) -> None:
    """Set up structlog and the standard library's logging for this process; every line goes to the stream."""
    as_json = settings.log_format == "json" or (settings.log_format == "auto" and not stream.isatty())
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        _drop_empty,
        _hide,
    ]
    renderers: list[Any] = (
        [structlog.processors.format_exc_info, structlog.processors.JSONRenderer(serializer=_dumps)]
        if as_json
        else [
            structlog.dev.ConsoleRenderer(
                colors=stream.isatty(),
                exception_formatter=structlog.dev.plain_traceback,  # the rich formatter prints variables: personal data
            )
        ]
    )
    # Our own lines go straight to the stream: through the standard library each would cost five times as much.
    structlog.configure(
        processors=[*shared, *renderers],
        logger_factory=lambda *_: _Lines(stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.add_logger_name, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *renderers],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(settings.log_level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Lines(structlog.PrintLogger):
    """Prints lines and never raises: a full disk or a closed pipe loses the line, but fails nothing else."""

    def msg(self, message: str) -> None:
        """Print a line."""
        with suppress(OSError):
            super().msg(message)

    log = debug = info = warn = warning = fatal = failure = err = error = critical = exception = msg


def _dumps(event: Any, **_: Any) -> str:
    return orjson.dumps(event, default=str).decode()


def _drop_empty(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    return {name: value for name, value in event.items() if value is not None}


def _hide(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Redact fields that must never be logged, in case a line carries one."""
    for name in _CALLERS_WORDS & event.keys():
        event[name] = "[hidden]"
    return event
