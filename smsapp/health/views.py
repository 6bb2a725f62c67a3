"""Liveness, readiness and metrics."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from smsapp.db.sessions import reading
from smsapp.health import schemas
from smsapp.health.gauges import read_gauges
from smsapp.web.openapi import answer
from smsapp.web.responses import json_response
from smsapp.web.wiring import runtime

bp = APIBlueprint("health", __name__, tag="Health")


@bp.get("/livez")
@bp.doc(
    summary="Is the process alive?",
    operation_id="getLiveness",
    responses=answer(200, "Yes.", schemas.Health),
)
def livez() -> Response:
    """Answer without asking anybody else: restarting the process would not mend a database."""
    return json_response({"status": "ok"})


@bp.get("/readyz")
@bp.doc(
    summary="Can it take requests?",
    operation_id="getReadiness",
    responses=answer(200, "Yes.", schemas.Readiness)
    | answer(503, "No: messages could not be stored.", schemas.Readiness),
)
def readyz() -> Response:
    """Check what a request needs. Without Redis messages are still stored and callbacks kept, so that only degrades."""
    rt = runtime()
    checks: dict[str, Any] = {"database": "ok", "redis": "ok"}
    try:
        with reading(rt.sessions) as session:
            session.execute(text("SELECT 1 FROM messages LIMIT 1"))
    except SQLAlchemyError as error:
        checks["database"] = type(error).__name__
    try:
        rt.stream.length()
    except (RedisError, OSError) as error:
        checks["redis"] = type(error).__name__
    ready = checks["database"] == "ok"
    status = (
        "ok" if all(value == "ok" for value in checks.values()) else "degraded" if ready else "unavailable"
    )
    return json_response({"status": status, "checks": checks}, 200 if ready else 503)


@bp.get("/metrics")
@bp.doc(
    summary="Prometheus metrics",
    operation_id="getMetrics",
    responses=answer(200, "In the text format.", media_type="text/plain"),
)
def metrics() -> Response:
    """Return this process's counters and what the database knows for all of them."""
    rt = runtime()
    return Response(generate_latest() + read_gauges(rt), content_type=CONTENT_TYPE_LATEST)
