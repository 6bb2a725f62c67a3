"""Structured logs: JSON lines in production, readable ones in a terminal, never a body, token or full number."""

import logging
import sys
import traceback
from collections.abc import Mapping, MutableMapping
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
_MAX_CAUSES = 10
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
        _trace,
    ]
    renderers: list[Any] = [
        structlog.processors.JSONRenderer(serializer=_dumps)
        if as_json
        else structlog.dev.ConsoleRenderer(
            colors=stream.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    ]
    # Our own lines go straight to the stream: through the standard library each would cost five times as much.
    structlog.configure(
        processors=[*shared, *renderers],
        logger_factory=lambda *_: _Lines(stream),
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(settings.log_level)),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.addFilter(leave_words_out)
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


def trace_of(error: BaseException) -> str:
    """Return types and places of an error and of those that caused it, without their texts.

    PostgreSQL's quote rows, a parser's the request, and anybody's may quote a value: numbers, texts, keys.
    """
    traces: list[str] = []
    found: BaseException | None = error
    while found is not None and len(traces) < _MAX_CAUSES:
        frames = "".join(traceback.format_list(traceback.extract_tb(found.__traceback__)))
        traces.insert(0, f"{frames}{type(found).__module__}.{type(found).__qualname__}")
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return "\n\n".join(traces)


class _Lines:
    """Prints lines and never raises: a full disk or a closed pipe loses the line, but fails nothing else.

    Each line is one write: the processes of a service share their output, and halves of lines would be mixed.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def msg(self, message: str) -> None:
        """Print a line."""
        with suppress(OSError):
            self._stream.write(f"{message}\n")
            self._stream.flush()

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


def _trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Replace a line's error by its trace."""
    given = event.pop("exc_info", None)
    if isinstance(given, tuple):
        error = given[1]
    else:
        error = given if isinstance(given, BaseException) else sys.exc_info()[1] if given else None
    if error is not None:
        event["exception"] = trace_of(error)
    return event


def leave_words_out(record: logging.LogRecord) -> bool:
    """Reduce the errors in other libraries' lines to types and places; a filter for loggers and handlers."""
    if isinstance(record.args, tuple):
        record.args = tuple(_word(each) for each in record.args)
    elif isinstance(record.args, Mapping) and record.exc_info and "exc" in record.args:
        record.args = {**record.args, "exc": type(record.exc_info[1]).__name__}  # Celery's, already a text
    if record.exc_info and record.exc_info[1]:
        record.exc_text = trace_of(record.exc_info[1])  # what a plain formatter prints
    return True


def _word(argument: object) -> object:
    return type(argument).__name__ if isinstance(argument, BaseException) else argument
