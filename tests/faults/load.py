"""The load under which things are broken: texts sent at a steady rate from a thread of their own."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Self

from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError

from smsapp.messages.models import Message
from tests.support.stack import Stack

PATIENCE_S = 90.0
"""How long a caller repeats one request; longer than any outage of ours."""

_LOOK_EVERY_S = 0.05


class Load:
    """Sends `count` texts and can tell how far it is."""

    def __init__(self, stack: Stack, count: int, *, rate: float | None, **fields: object) -> None:
        self.stack = stack
        self.count = count
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="load")
        self._start = {"rate": rate, "concurrency": 8, "patience_s": PATIENCE_S, **fields}
        self._accepted: Future[dict[str, str]] | None = None

    def __enter__(self) -> Self:
        self._accepted = self._thread.submit(self.stack.send, self.count, **self._start)  # type: ignore[arg-type]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()

    @property
    def done(self) -> bool:
        """Whether everything is accepted, or the load has failed."""
        assert self._accepted is not None
        return self._accepted.done()

    def wait(self) -> dict[str, str]:
        """Return the texts by accepted id once all are."""
        assert self._accepted is not None
        return self._accepted.result()

    def wait_for_share(self, share: float) -> None:
        """Return once this share of the load is stored."""
        while not self.done and self._stored() < share * self.count:
            time.sleep(_LOOK_EVERY_S)

    def _stored(self) -> int:
        with suppress(SQLAlchemyError), self.stack.database() as session:
            return session.scalar(select(func.count()).select_from(Message)) or 0
        return 0
