"""The web application: factory, request context and wiring."""

import time
from datetime import timedelta
from functools import partial
from pathlib import Path

from apiflask import APIFlask
from flask import Response, g, request
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import sessionmaker

from smsapp import __version__
from smsapp.audit.acting import Actor, act_as
from smsapp.bulk import schemas as bulk_schemas
from smsapp.bulk import views as jobs
from smsapp.callbacks import receiver as callbacks
from smsapp.callbacks import views as twilio
from smsapp.callbacks.receiver import CallbackIntake
from smsapp.config import Settings
from smsapp.connect import build_runtime, connect_redis
from smsapp.db.base import Base
from smsapp.db.engine import engine_options, prepare_engine
from smsapp.db.sessions import WriterTurn
from smsapp.events import schemas as event_schemas
from smsapp.events import views as events
from smsapp.events.feed_limits import FeedLimits
from smsapp.events.look_for_news import look_for_news
from smsapp.fastpath.sends import FastPathSends
from smsapp.health import schemas as health_schemas
from smsapp.health import views as health
from smsapp.inbound import schemas as inbound_schemas
from smsapp.inbound import views as inbound
from smsapp.lifecycle import schemas as lifecycle_schemas
from smsapp.messages import schemas as message_schemas
from smsapp.messages import views as messages
from smsapp.messages.wait_for_outcome import OutcomeWaits
from smsapp.news.channel import Subscription
from smsapp.news.desk import NewsDesk
from smsapp.queue.tasks import REDIS_TIMEOUT_S, make_publisher
from smsapp.refusals import schemas as refusal_schemas
from smsapp.refusals import views as refusals
from smsapp.refusals.note import RefusedCallbacks
from smsapp.retention import views as retention
from smsapp.runtime import Runtime
from smsapp.sending import endpoint as send_endpoint
from smsapp.sending import schemas as sending_schemas
from smsapp.sending import views as sending
from smsapp.sending.endpoint import SendEndpoint
from smsapp.suppressions import import_views as suppression_imports
from smsapp.suppressions import schemas as suppression_schemas
from smsapp.suppressions import views as suppressions
from smsapp.templates import schemas as template_schemas
from smsapp.templates import views as text_templates
from smsapp.web import auth, docs, openapi, problems
from smsapp.web import schemas as web_schemas
from smsapp.web.auth import KeyCache
from smsapp.web.plain_http import EXTENSION, MAX_BODY_BYTES
from smsapp.web.request_context import Front, begin, end
from smsapp.web.wiring import provide, provided
from smsapp.webhooks import delivery_views as deliveries
from smsapp.webhooks import schemas as webhook_schemas
from smsapp.webhooks import views as subscriptions

CONNECTIONS = 10

_VIEWS = (
    sending,
    messages,
    retention,
    events,
    jobs,
    text_templates,
    inbound,
    suppressions,
    suppression_imports,
    subscriptions,
    deliveries,
    twilio,
    refusals,
    health,
)
_DOCUMENTED = (
    message_schemas,
    sending_schemas,
    event_schemas,
    health_schemas,
    web_schemas,
    bulk_schemas,
    template_schemas,
    inbound_schemas,
    suppression_schemas,
    webhook_schemas,
    lifecycle_schemas,
    refusal_schemas,
)


def create_app(settings: Settings) -> APIFlask:
    """Return the application with real ports; any WSGI server can run it."""
    app = APIFlask(
        "smsapp.web",
        title="smsapp",
        version=__version__,
        spec_path=None,
        docs_path=None,
        # Flask-SQLAlchemy resolves a relative SQLite path here; the worker resolves it here too.
        instance_path=str(Path.cwd()),
    )
    app.config.update(
        DEBUG=False,  # whatever FLASK_DEBUG says: it shows tracebacks to callers
        MAX_CONTENT_LENGTH=MAX_BODY_BYTES,
        SQLALCHEMY_DATABASE_URI=settings.database_url,
        SQLALCHEMY_ENGINE_OPTIONS=engine_options(settings.database_url, pool_size=CONNECTIONS),
    )
    database = SQLAlchemy(metadata=Base.metadata)
    database.init_app(app)
    info = {WriterTurn: WriterTurn()} if settings.is_sqlite else {}
    with app.app_context():
        sessions = sessionmaker(prepare_engine(database.engine), expire_on_commit=False, info=info)
    rt = build_runtime(settings, sessions=sessions, celery=make_publisher(settings.redis), patient=False)
    endpoint = SendEndpoint(rt)
    desk = _open_desk(rt)
    refused = RefusedCallbacks(rt)
    for part in (rt, endpoint, desk, OutcomeWaits(rt, desk), FeedLimits(settings), refused):
        provide(app, part)
    _register(app, rt)
    intake = CallbackIntake(app.wsgi_app, rt, refused)
    app.wsgi_app = Front(intake)  # type: ignore[method-assign]
    sends = FastPathSends(app, provided(KeyCache, app), endpoint)
    app.extensions[EXTENSION] = {callbacks.PREFIX: intake.take, send_endpoint.PATH: sends.answer}
    return app


def _open_desk(rt: Runtime) -> NewsDesk:
    redis = connect_redis(rt.settings, timeout_s=REDIS_TIMEOUT_S)
    return NewsDesk(
        partial(Subscription, redis),
        partial(look_for_news, rt.sessions),
        quiet_after=2 * rt.settings.sweep_every + timedelta(seconds=1),  # the sweep publishes each time
    )


def _register(app: APIFlask, rt: Runtime) -> None:
    problems.init_app(app)
    auth.init_app(app, rt)
    openapi.init_app(app, [room.DOCUMENT for room in _DOCUMENTED])
    docs.init_app(app, rt.settings, rt.clock)
    for views in _VIEWS:
        app.register_blueprint(views.bp)
    app.before_request(_begin)
    app.after_request(_end)


def _begin() -> None:
    g.began = time.perf_counter()
    g.request_id = begin(request.headers.get("X-Request-Id", ""))
    act_as(Actor("anonymous", address=request.remote_addr, request_id=g.request_id))


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
