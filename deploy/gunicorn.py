"""How gunicorn serves the API: `gunicorn -c deploy/gunicorn.py wsgi:app`, set by environment variables.

BIND_HOST and PORT set the address, WEB_CONCURRENCY the number of processes, FORWARDED_ALLOW_IPS the trusted proxies
(gunicorn's own variable).
"""

import gc
import os
import resource
import sys
from pathlib import Path
from typing import Any

bind = f"{os.environ.get('BIND_HOST') or '0.0.0.0'}:{os.environ.get('PORT') or '8000'}"  # noqa: S104 - a server
workers = os.environ.get("WEB_CONCURRENCY") or 2
# gevent: requests wait for Redis and the database, and a callback must not wait behind them.
worker_class = "smsapp.fastpath.gunicorn_worker.FastPathWorker"

# Each waiting request (MAX_WAITS, MAX_EVENT_STREAMS) holds a connection; with no more of them nobody else gets in.
worker_connections = 10_000

keepalive = 75  # longer than a load balancer's 60 s, so that the balancer closes idle connections first
graceful_timeout = 25  # a long poll may take 20 s
timeout = 30

# The application logs each request with its ids; a second line per request says less and costs more.
accesslog = None
errorlog = "-"

control_socket_disable = True  # it would lie in the home directory, shared by all instances of a user

# Workers send a heartbeat by touching a file: on disk that write can block, in memory it cannot.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def _allow_open_files() -> None:
    """Raise the soft limit on open files, 1024 on most systems, to the hard one: each connection is a file."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 2 * worker_connections
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


_allow_open_files()


def on_starting(_server: Any) -> None:
    """Exit with a list of all configuration faults before workers start and each fail with a traceback."""
    from smsapp.config import ConfigurationError, load_settings  # noqa: PLC0415 - only the master process needs it

    try:
        load_settings()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - logging is not configured yet
        sys.exit(os.EX_CONFIG)


def post_fork(_server: Any, _worker: Any) -> None:
    """Load the application without searching it for garbage: a seventh of the time that a worker needs to start."""
    gc.disable()


def post_worker_init(_worker: Any) -> None:
    """Collect garbage from now on, with raised thresholds: the application is loaded."""
    from smsapp.queue.tune_gc import tune_gc  # noqa: PLC0415 - the master process does not need it

    tune_gc()
    gc.enable()
