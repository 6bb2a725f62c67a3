"""Tasks whose failures tell type and place alone: Celery's events carry an error's text to Flower, where it is kept.

A database's error quotes the row, a parser's the text. The worker's log has the trace, without texts too.
"""

import re
from typing import Any

from celery import Task
from celery.worker.request import Request

_TYPE = re.compile(r"[A-Za-z_][\w.]*")


class QuietRequest(Request):
    """A task's run in a worker, as Celery tells of it."""

    def send_event(self, type: str, **fields: Any) -> None:  # noqa: A002 - Celery's name
        """Tell of a step of the task; of an error, its type."""
        if "exception" in fields:
            kind = _TYPE.match(str(fields["exception"]))
            fields["exception"] = f"{kind[0] if kind else 'an error'}()"
        if "traceback" in fields:
            fields["traceback"] = f"The worker's log has it, under this task's id: {self.id}"
        super().send_event(type, **fields)


class QuietTask(Task):
    """The class of every task."""

    Request = QuietRequest
