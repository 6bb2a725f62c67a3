"""The web application: factory, request context, and the pieces put together."""

import re
import time
from functools import partial
from pathlib import Path

import structlog
from apiflask import APIFlask
from flask import Response, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import sessionmaker

from smsapp import __version__
from smsapp.domain.ids import new_id
from smsapp.jobs import make_publisher
from smsapp.metrics import REQUESTS
from smsapp.runtime import Runtime, build_runtime
from smsapp.services.accept_message import store_together
from smsapp.services.backpressure import Backpressure
from smsapp.services.group_commit import GroupCommit
from smsapp.serving.callback_requests import EXTENSION, MAX_BODY_BYTES
from smsapp.settings import Settings
from smsapp.store.engine import engine_options, prepare_engine
from smsapp.store.tables import Base
from smsapp.web import auth, docs, health, messages, openapi, problems, sending, twilio
from smsapp.web.callbacks import CallbackIntake

log = structlog.get_logger(__name__)

POSTGRES_CONNECTIONS = 10
SQLITE_CONNECTIONS = 1
"""In one process SQLite's calls block its whole event loop, so a second writer could only wait for itself."""

MAX_ACCEPTED_TOGETHER = 200

_REQUEST_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)


def create_app(settings: Settings) -> APIFlask:
    """Return the application over real ports: it can be run by any WSGI server."""
    app = APIFlask(
        "smsapp.web",
        title="smsapp",
        version=__version__,
        spec_path=None,
        docs_path=None,
        # Where Flask-SQLAlchemy looks for a relative SQLite path; the worker looks here, too.
        instance_path=str(Path.cwd()),
    )
    app.config.update(
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(
            settings.database_url,
            pool_size=SQLITE_CONNECTIONS if settings.is_sqlite else POSTGRES_CONNECTIONS,
        ),
    )
    database = SQLAlchemy(metadata=Base.metadata)
    database.init_app(app)
    with app.app_context():
        sessions = sessionmaker(prepare_engine(database.engine), expire_on_commit=False)
    rt = build_runtime(settings, sessions=sessions, celery=make_publisher(settings.redis_url), patient=False)
    app.extensions["smsapp"] = rt
    app.extensions["smsapp_backpressure"] = Backpressure(rt)
    app.extensions["smsapp_accepting"] = GroupCommit(partial(store_together, rt), limit=MAX_ACCEPTED_TOGETHER)
    _register(app, rt)
    intake = CallbackIntake(app.wsgi_app, rt)
    app.wsgi_app = intake  # type: ignore[method-assign]
    app.extensions[EXTENSION] = intake.take
    return app


def _register(app: APIFlask, rt: Runtime) -> None:
    problems.init_app(app)
    auth.init_app(app, rt)
    openapi.init_app(app)
    docs.init_app(app)
    app.register_blueprint(sending.bp)
    app.register_blueprint(messages.bp)
    app.register_blueprint(twilio.bp)
    app.register_blueprint(health.bp)
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    """Give the request an id, the caller's own where it sent a plain one."""
    given = request.headers.get("X-Request-Id", "")
    g.request_id = given if _REQUEST_ID.fullmatch(given) else new_id().hex
    g.began = time.perf_counter()
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _end(response: Response) -> Response:
    elapsed_s = time.perf_counter() - g.began
    response.headers["X-Request-Id"] = g.request_id
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers.setdefault("Cache-Control", "no-store")  # numbers and texts are personal data
    endpoint = request.endpoint or "none"
    REQUESTS.labels(endpoint, response.status_code).observe(elapsed_s)
    log.info(
        "request_answered",
        method=request.method,
        endpoint=endpoint,
        status=response.status_code,
        ms=round(elapsed_s * 1000, 1),
        message_id=g.get("message_id"),
    )
    return response
