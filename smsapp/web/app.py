"""The web application: factory, request context, and the pieces put together."""

import time
from pathlib import Path

from apiflask import APIFlask
from flask import Response, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import sessionmaker

from smsapp import __version__
from smsapp.jobs import make_publisher
from smsapp.runtime import Runtime, build_runtime
from smsapp.services.watch_feed import FeedWatch
from smsapp.serving.plain_requests import EXTENSION, MAX_BODY_BYTES
from smsapp.settings import Settings
from smsapp.store.engine import engine_options, prepare_engine
from smsapp.store.tables import Base
from smsapp.web import (
    auth,
    callbacks,
    deliveries,
    docs,
    events,
    health,
    inbound,
    jobs,
    messages,
    openapi,
    problems,
    send_endpoint,
    sending,
    subscriptions,
    suppression_imports,
    suppressions,
    text_templates,
    twilio,
)
from smsapp.web.callbacks import CallbackIntake
from smsapp.web.request_context import begin, end
from smsapp.web.send_endpoint import SendEndpoint
from smsapp.web.short_sends import ShortSends

POSTGRES_CONNECTIONS = 10
SQLITE_CONNECTIONS = 1
"""In one process SQLite's calls block its whole event loop, so a second writer could only wait for itself."""


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
    endpoint = app.extensions["smsapp_sending"] = SendEndpoint(rt)
    app.extensions["smsapp_watch"] = FeedWatch(rt)
    _register(app, rt)
    intake = CallbackIntake(app.wsgi_app, rt)
    app.wsgi_app = intake  # type: ignore[method-assign]
    sends = ShortSends(app, app.extensions["smsapp_keys"], endpoint)
    app.extensions[EXTENSION] = {callbacks.PREFIX: intake.take, send_endpoint.PATH: sends.answer}
    return app


def _register(app: APIFlask, rt: Runtime) -> None:
    problems.init_app(app)
    auth.init_app(app, rt)
    openapi.init_app(app)
    docs.init_app(app)
    app.register_blueprint(sending.bp)
    app.register_blueprint(messages.bp)
    app.register_blueprint(events.bp)
    app.register_blueprint(jobs.bp)
    app.register_blueprint(text_templates.bp)
    app.register_blueprint(inbound.bp)
    app.register_blueprint(suppressions.bp)
    app.register_blueprint(suppression_imports.bp)
    app.register_blueprint(subscriptions.bp)
    app.register_blueprint(deliveries.bp)
    app.register_blueprint(twilio.bp)
    app.register_blueprint(health.bp)
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()
    g.request_id = begin(request.headers.get("X-Request-Id", ""))


def _end(response: Response) -> Response:
    headers = end(
        g.request_id,
        request.method,
        request.endpoint or "none",
        response.status_code,
        began=g.began,
        message_id=g.get("message_id"),
    )
    for name, value in headers.items():
        response.headers.setdefault(name, value)
    return response
