"""Redis and PostgreSQL for development: what the demo, the tests, bench and faults import.

Also a command that runs one in the foreground: `python -m dev.servers redis --port 6379`.
"""

import argparse
import signal
import sys
from pathlib import Path

from dev.ports import PortClaims, free_port, is_free
from dev.postgres_server import PostgresServer
from dev.redis_server import RedisServer, redis_from_environment
from dev.server_process import ServerError, ServerProcess

__all__ = [
    "PortClaims",
    "PostgresServer",
    "RedisServer",
    "ServerError",
    "ServerProcess",
    "free_port",
    "is_free",
    "redis_from_environment",
]


def _server(kind: str, directory: Path, port: int) -> ServerProcess:
    if kind == "redis":
        return RedisServer(directory, port)
    return PostgresServer(directory, port)


def main() -> None:
    """Run one server until a signal stops it."""
    parser = argparse.ArgumentParser(prog="python -m dev.servers", description=__doc__)
    parser.add_argument("kind", choices=["redis", "postgres"])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--dir", type=Path, help="where it keeps its data (var/<kind>)")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with _server(options.kind, options.dir or Path("var", options.kind), options.port) as server:
            print(f"{server.name} listens on 127.0.0.1:{server.port}, logs to {server.log}", flush=True)
            server.wait()
    except KeyboardInterrupt:
        return
    except ServerError as error:
        sys.exit(str(error))
    sys.exit(f"{server.name} ended")


if __name__ == "__main__":
    main()
