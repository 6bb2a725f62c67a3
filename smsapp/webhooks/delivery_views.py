"""Deliveries: what became of each event on its way to each consumer."""

from typing import Any
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, g

from smsapp.db.sessions import reading
from smsapp.ids import parse_id, parse_public_id
from smsapp.keys.scopes import Scope
from smsapp.messages import reads
from smsapp.messages.views import no_such_message
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import problem_response
from smsapp.web.responses import json_response, page_response
from smsapp.web.wiring import runtime
from smsapp.webhooks import queries as deliveries
from smsapp.webhooks import schemas
from smsapp.webhooks import subscription_queries as subscriptions
from smsapp.webhooks.documents import delivery_detail, delivery_view
from smsapp.webhooks.redeliver import DeliveryNotFoundError, resend_delivery
from smsapp.webhooks.subscribe import SubscriptionNotFoundError
from smsapp.webhooks.views import parse_subscription

bp = APIBlueprint("deliveries", __name__, url_prefix="/sms", tag="Deliveries")

_MAX_ATTEMPTS = 100


@bp.get("/subscriptions/<subscription_id>/deliveries")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.DeliveryQuery, location="query")
@bp.doc(
    summary="List a subscription's deliveries",
    operation_id="listDeliveries",
    responses=answer(200, "A page of deliveries.", schemas.DeliveryList, headers={"Link": "Link"})
    | problems(400, 401, 403, 404, 500, 503),
)
def index(subscription_id: str, query_data: schemas.DeliveryQuery) -> Response:
    """Return what a consumer was told or is owed, newest first, for 30 days."""
    wanted = parse_subscription(subscription_id)
    with reading(runtime().sessions) as session:
        if subscriptions.get(session, g.caller.application_id, wanted) is None:
            raise SubscriptionNotFoundError
    return _page(query_data, subscription_id=wanted)


@bp.get("/messages/<message_id>/deliveries")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.DeliveryQuery, location="query")
@bp.doc(
    summary="List who was told of a message",
    operation_id="listMessageDeliveries",
    responses=answer(200, "A page of deliveries.", schemas.DeliveryList, headers={"Link": "Link"})
    | problems(400, 401, 403, 404, 500, 503),
)
def of_message(message_id: str, query_data: schemas.DeliveryQuery) -> Response:
    """Return the deliveries of a message's events to every consumer, newest first."""
    wanted = parse_public_id(message_id)
    with reading(runtime().sessions) as session:
        if wanted is None or reads.get_owned(session, wanted, g.caller.application_id) is None:
            raise no_such_message()
    return _page(query_data, message_id=wanted)


@bp.get("/deliveries/<delivery_id>")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.doc(
    summary="Show a delivery",
    operation_id="getDelivery",
    responses=answer(200, "The delivery and its attempts.", schemas.DeliveryDetail)
    | problems(401, 403, 404, 500, 503),
)
def show(delivery_id: str) -> Response:
    """Return a delivery with every request that was made for it, and what came of each."""
    wanted = _id(delivery_id)
    with reading(runtime().sessions) as session:
        found = deliveries.get(session, g.caller.application_id, wanted)
        if found is None:
            raise DeliveryNotFoundError
        view = delivery_detail(found, deliveries.attempts(session, wanted, limit=_MAX_ATTEMPTS))
    return json_response(view)


@bp.post("/deliveries/<delivery_id>/resend")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.doc(
    summary="Deliver again",
    operation_id="resendDelivery",
    responses=answer(202, "It will be delivered.", schemas.Delivery) | problems(401, 403, 404, 409, 500, 503),
)
def resend(delivery_id: str) -> Response:
    """Deliver one event again, with the same `webhook-id`, also when the consumer said that it has it."""
    return json_response(
        delivery_view(resend_delivery(runtime(), g.caller.application_id, _id(delivery_id))), 202
    )


@bp.app_errorhandler(DeliveryNotFoundError)
def _not_found(_error: Exception) -> Response:
    return problem_response(404, "delivery_not_found", "There is no such delivery.")


def _page(query: schemas.DeliveryQuery, **filters: Any) -> Response:
    with reading(runtime().sessions) as session:
        page = deliveries.find(
            session,
            g.caller.application_id,
            status=query.status,
            before=query.cursor,
            limit=query.limit,
            **filters,
        )
    return page_response(page, delivery_view)


def _id(text: str) -> UUID:
    found = parse_id(text, "dlv")
    if found is None:
        raise DeliveryNotFoundError
    return found
