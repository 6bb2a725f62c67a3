"""Clients that mean harm, each a process of its own: `python -m bench.attackers KIND PORT SECONDS`."""

import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from itertools import repeat

from bench.load import Generator, Unit

_HOST = "127.0.0.1"
_FORM = b"Content-Type: application/x-www-form-urlencoded\r\n"
_UNSIGNED = b"POST /twilio/status HTTP/1.1\r\nHost: a\r\n" + _FORM + b"Content-Length: 3\r\n\r\na=b"
_FORGED = _UNSIGNED.replace(b"\r\n\r\n", b"\r\nX-Twilio-Signature: " + b"A" * 27 + b"=\r\n\r\n")
_TOO_LARGE = b"POST /sms/send HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\nConnection: close\r\n\r\n"
_NO_KEY = (
    b"POST /sms/send HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)
_LIVE = b"GET /livez HTTP/1.1\r\nHost: a\r\n\r\n"
_DRIPPING = 500


def _at_rate(request: bytes, rate: int) -> Callable[[int, float], None]:
    def attack(port: int, seconds: float) -> None:
        units: Iterator[Unit] = repeat((request,), int(rate * seconds))
        Generator(port, units, 64).run(rate)

    return attack


def _pipeline(port: int, seconds: float) -> None:
    """Send requests without a pause, and read the answers meanwhile."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with socket.create_connection((_HOST, port)) as connection, suppress(OSError):
            threading.Thread(target=_send_until, args=[connection, until], daemon=True).start()
            while time.monotonic() < until and connection.recv(1 << 20):
                pass


def _send_until(connection: socket.socket, until: float) -> None:
    with suppress(OSError):
        while time.monotonic() < until:
            connection.sendall(_LIVE * 1000)


def _drip(port: int, seconds: float) -> None:
    """Hold connections, half of them silent and half with a byte a second, and open those anew that end."""
    until = time.monotonic() + seconds
    held: list[socket.socket] = []
    while time.monotonic() < until:
        while len(held) < _DRIPPING:
            connection = socket.create_connection((_HOST, port))
            connection.sendall(_FORGED.replace(b"Length: 3", b"Length: 9999"))
            held.append(connection)
        for connection in list(held[::2]):
            try:
                connection.send(b"a")
            except OSError:
                held.remove(connection)
                connection.close()
        time.sleep(1.0)


ATTACKS: Mapping[str, Callable[[int, float], None]] = {
    "unsigned": _at_rate(_UNSIGNED, 5000),
    "forged": _at_rate(_FORGED, 1000),
    "too large": _at_rate(_TOO_LARGE, 200),
    "without a key": _at_rate(_NO_KEY, 500),
    "pipelined": _pipeline,
    "dripping": _drip,
}

if __name__ == "__main__":
    os.nice(10)  # they would be on other machines, and must not win the service's cores from it
    ATTACKS[sys.argv[1]](int(sys.argv[2]), float(sys.argv[3]))
