"""How gunicorn serves the API: `gunicorn -c deploy/gunicorn.py wsgi:app`, set by environment variables.

BIND_HOST and PORT say where, WEB_CONCURRENCY how many processes, FORWARDED_ALLOW_IPS which proxies
to believe (gunicorn's own variable).
"""

import os
import sys
from pathlib import Path
from typing import Any

bind = f"{os.environ.get('BIND_HOST') or '0.0.0.0'}:{os.environ.get('PORT') or '8000'}"  # noqa: S104 - a server
workers = os.environ.get("WEB_CONCURRENCY") or 2
# gevent: requests wait for Redis and the database, and a callback must not wait behind them.
worker_class = "smsapp.fastpath.gunicorn_worker.FastPathWorker"

keepalive = 75  # longer than a load balancer's 60 s, so that it and not we close an idle connection
graceful_timeout = 25  # a long poll may take 20 s
timeout = 30

# The application logs each request with its ids; a second line per request says less and costs more.
accesslog = None
errorlog = "-"

control_socket_disable = True  # it would lie in the home folder, one for all instances of a user

# Workers prove that they live by touching a file: on a disk that write can block, in memory it cannot.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108


def on_starting(_server: Any) -> None:
    """End with every fault of the configuration in plain words, before workers start and fail with a trace each."""
    from smsapp.config import ConfigurationError, load_settings  # noqa: PLC0415 - only the master needs it here

    try:
        load_settings()
    except ConfigurationError as error:
        print(error, file=sys.stderr)  # noqa: T201 - there is no log yet
        sys.exit(os.EX_CONFIG)


def post_worker_init(_worker: Any) -> None:
    """Have a worker look for garbage seldom, now that the application is loaded."""
    from smsapp.queue.tune_gc import tune_gc  # noqa: PLC0415 - the master does without

    tune_gc()
