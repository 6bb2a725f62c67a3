"""Liveness, readiness and metrics."""

from apiflask import APIBlueprint
from flask import Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from smsapp.health import schemas
from smsapp.health.checks import OK, check_database, check_redis
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
    checks = {"database": check_database(rt), "redis": check_redis(rt)}
    ready = checks["database"] == OK
    status = OK if set(checks.values()) == {OK} else "degraded" if ready else "unavailable"
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
