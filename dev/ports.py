"""Free TCP ports for development servers, also when several start at the same moment."""

import errno
import random
import socket
import sys
from collections.abc import Callable

# Below Linux's range for outgoing connections, so that a restarted server finds its port again.
_RANGE = range(20_000, 32_000)
_TRIES = 200


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    """Return whether a server could listen on the port now.

    SO_REUSEADDR as servers set it: connections in TIME_WAIT of the last run are no obstacle.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
            probe.listen(1)
        except OSError as error:
            if error.errno in {errno.EADDRINUSE, errno.EACCES}:
                return False
            raise
    return True


def free_port(*, usable: Callable[[int], bool] = is_free) -> int:
    """Return a free port, picked at random so that parallel runs rarely pick the same."""
    for port in random.SystemRandom().sample(_RANGE, _TRIES):
        if usable(port):
            return port
    raise OSError(errno.EADDRINUSE, f"no free port found between {_RANGE.start} and {_RANGE.stop}")


class PortClaims:
    """Ports that this process has reserved, respected by every other user of this class.

    Between choosing a port and the server's bind, a second demo could choose the same one. A socket
    name in Linux's abstract namespace is a lock with the right scope (the network namespace, all
    users) and vanishes with the process. Elsewhere only the check remains.
    """

    def __init__(self) -> None:
        self._locks: list[socket.socket] = []

    def claim(self, preferred: int) -> int:
        """Return the first port from `preferred` upwards that is neither in use nor claimed."""
        for port in range(preferred, preferred + _TRIES):
            if is_free(port) and self._lock(port):
                return port
        return self.claim_any()

    def claim_any(self) -> int:
        """Return a port picked at random that is neither in use nor claimed."""
        return free_port(usable=lambda port: is_free(port) and self._lock(port))

    def release(self) -> None:
        """Release the ports."""
        while self._locks:
            self._locks.pop().close()

    def _lock(self, port: int) -> bool:
        if not sys.platform.startswith("linux"):
            return True
        lock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            lock.bind(f"\0smsapp-dev-port-{port}")
        except OSError:
            lock.close()
            return False
        self._locks.append(lock)
        return True
