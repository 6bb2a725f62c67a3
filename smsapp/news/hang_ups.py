"""Notice that a waiting client has hung up: its place and its greenlet are free at once, not after its 20 seconds."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from select import POLLHUP
from typing import Any

_PEER_CLOSED = POLLHUP | 0x2000
"""POLLRDHUP (poll(2)): the peer has closed its end. Python's module has no name for it on every platform."""


@contextmanager
def on_hang_up(client: Any, call: Callable[[], object]) -> Iterator[None]:
    """Call in a greenlet of its own when the client closes its connection while the body runs.

    `client` is the connection's socket (gunicorn's `gunicorn.socket`); without one, or without gevent, nothing is
    noticed. A client that sends its next request meanwhile is not watched any more.
    """
    if client is None or "gevent.monkey" not in sys.modules:
        yield
        return
    import gevent  # noqa: PLC0415 - only a server that is built on it has such sockets

    watcher = gevent.get_hub().loop.io(client.fileno(), 1)  # 1: to be read, which a closed end is, too

    def look() -> None:
        watcher.stop()
        if has_hung_up(client.fileno()):
            gevent.spawn(call)

    watcher.start(look)
    try:
        yield
    finally:
        watcher.stop()
        watcher.close()


def has_hung_up(number: int) -> bool:
    """Return whether the other end of this socket is closed, without reading from it."""
    from gevent.monkey import get_original  # noqa: PLC0415 - as above

    poll = get_original("select", "poll")()  # gevent's own would switch to another greenlet
    poll.register(number, _PEER_CLOSED)
    return bool(poll.poll(0))
