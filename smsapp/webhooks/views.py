"""Subscriptions: whom to tell of what becomes of messages."""

from datetime import timedelta
from uuid import UUID

from apiflask import APIBlueprint
from flask import Response, g, request

from smsapp.db.idempotency import identify
from smsapp.db.sessions import reading
from smsapp.ids import parse_id
from smsapp.keys.scopes import Scope
from smsapp.web.auth import auth
from smsapp.web.consumer_urls import checked_url
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import problem_response
from smsapp.web.request_context import meaning
from smsapp.web.responses import answer_headers, json_response, page_response
from smsapp.web.schemas import SendHeaders
from smsapp.web.wiring import runtime
from smsapp.webhooks import schemas
from smsapp.webhooks import subscription_queries as subscriptions
from smsapp.webhooks.documents import delivery_view, subscription_view, view_with_secret
from smsapp.webhooks.redeliver import SubscriptionDisabledError, recover_events, send_example
from smsapp.webhooks.rules import SubscriptionDraft
from smsapp.webhooks.subscribe import (
    SubscriptionNotFoundError,
    change_subscription,
    rotate_secret,
    subscribe,
    unsubscribe,
)

bp = APIBlueprint("subscriptions", __name__, url_prefix="/sms/subscriptions", tag="Subscriptions")


@bp.post("")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(SendHeaders, location="headers")
@bp.input(schemas.SubscriptionRequest, location="json")
@bp.doc(
    summary="Subscribe",
    operation_id="createSubscription",
    responses=answer(
        201,
        "Made.",
        schemas.SubscriptionWithSecret,
        headers={"Location": "Location", "Idempotent-Replayed": "IdempotentReplayed"},
    )
    | problems(400, 401, 403, 413, 415, 422, 500, 503),
)
def create(headers_data: SendHeaders, json_data: schemas.SubscriptionRequest) -> Response:
    """Have events POSTed to an address, signed as Standard Webhooks has it. The secret is in this answer only."""
    checked_url(runtime().settings, json_data.url, "/url")
    made = subscribe(
        runtime(),
        SubscriptionDraft(**json_data.model_dump()),
        api_key_id=g.caller.key_id,
        render=view_with_secret,
        request=identify(
            g.caller.key_id,
            headers_data.idempotency_key,
            request.path,
            meaning(json_data),
            secrets=runtime().settings.auth_tokens,
            raw=request.get_data(),
        ),
    )
    location = f"{request.script_root}/sms/subscriptions/{made.answer['id']}"
    return json_response(made.answer, 201, answer_headers(made, location))


@bp.get("")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.SubscriptionQuery, location="query")
@bp.doc(
    summary="List subscriptions",
    operation_id="listSubscriptions",
    responses=answer(200, "A page of subscriptions.", schemas.SubscriptionList, headers={"Link": "Link"})
    | problems(400, 401, 403, 500, 503),
)
def index(query_data: schemas.SubscriptionQuery) -> Response:
    """Return subscriptions, oldest first; those of the kind `callback` came of messages' `callback_url`s."""
    with reading(runtime().sessions) as session:
        page = subscriptions.find(
            session, g.caller.application_id, limit=query_data.limit, after=query_data.cursor
        )
    return page_response(page, subscription_view)


@bp.get("/<subscription_id>")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.doc(
    summary="Show a subscription",
    operation_id="getSubscription",
    responses=answer(200, "The subscription.", schemas.Subscription) | problems(401, 403, 404, 500, 503),
)
def show(subscription_id: str) -> Response:
    """Return a subscription and how its consumer fares."""
    with reading(runtime().sessions) as session:
        found = subscriptions.get(session, g.caller.application_id, parse_subscription(subscription_id))
    if found is None:
        raise SubscriptionNotFoundError
    return json_response(subscription_view(found))


@bp.patch("/<subscription_id>")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.SubscriptionChange, location="json")
@bp.doc(
    summary="Change a subscription",
    operation_id="changeSubscription",
    responses=answer(200, "As it is now.", schemas.Subscription)
    | problems(400, 401, 403, 404, 413, 415, 500, 503),
)
def change(subscription_id: str, json_data: schemas.SubscriptionChange) -> Response:
    """Change what is named. Once enabled again, a subscription gets what waited; `recover` brings what did not."""
    checked_url(runtime().settings, json_data.url, "/url")
    values = json_data.model_dump(exclude_unset=True)
    wanted = parse_subscription(subscription_id)
    return json_response(
        change_subscription(runtime(), g.caller.application_id, wanted, values, render=subscription_view)
    )


@bp.delete("/<subscription_id>")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.doc(
    summary="Unsubscribe",
    operation_id="deleteSubscription",
    responses=answer(204, "It is gone.") | problems(401, 403, 404, 500, 503),
)
def delete(subscription_id: str) -> Response:
    """End a subscription; what it is still owed is dropped."""
    unsubscribe(runtime(), g.caller.application_id, parse_subscription(subscription_id))
    return Response(status=204)


@bp.post("/<subscription_id>/rotate")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.RotateRequest, location="json")
@bp.doc(
    summary="Change the secret",
    operation_id="rotateSecret",
    responses=answer(200, "With its new secret.", schemas.SubscriptionWithSecret)
    | problems(400, 401, 403, 404, 413, 415, 500, 503),
)
def rotate(subscription_id: str, json_data: schemas.RotateRequest) -> Response:
    """Make a new secret, which is in this answer only; until the overlap is over, each event has both signatures."""
    overlap = timedelta(seconds=json_data.overlap_s)
    wanted = parse_subscription(subscription_id)
    return json_response(
        rotate_secret(runtime(), g.caller.application_id, wanted, overlap=overlap, render=view_with_secret)
    )


@bp.post("/<subscription_id>/recover")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.RecoverRequest, location="json")
@bp.doc(
    summary="Recover what was missed",
    operation_id="recoverEvents",
    responses=answer(202, "It will be delivered.", schemas.Subscription)
    | problems(400, 401, 403, 404, 409, 413, 415, 500, 503),
)
def recover(subscription_id: str, json_data: schemas.RecoverRequest) -> Response:
    """Deliver every event since a time that the subscription asks for and its consumer does not have, each once.

    Also those from before it was made, and from while it was disabled.
    """
    found = recover_events(
        runtime(), g.caller.application_id, parse_subscription(subscription_id), since=json_data.since
    )
    return json_response(subscription_view(found), 202)


@bp.post("/<subscription_id>/test")
@bp.auth_required(auth, roles=[Scope.MANAGE])
@bp.input(schemas.ExampleRequest, location="json")
@bp.doc(
    summary="Send an example",
    operation_id="sendExample",
    responses=answer(202, "It will be delivered.", schemas.Delivery, headers={"Location": "Location"})
    | problems(400, 401, 403, 404, 409, 413, 415, 500, 503),
)
def test(subscription_id: str, json_data: schemas.ExampleRequest) -> Response:
    """Deliver an example of an event, signed like any other; the answer's `id` tells what became of it."""
    made = send_example(
        runtime(), g.caller.application_id, parse_subscription(subscription_id), json_data.event_type
    )
    view = delivery_view(made)
    return json_response(view, 202, {"Location": f"{request.script_root}/sms/deliveries/{view['id']}"})


@bp.app_errorhandler(SubscriptionNotFoundError)
def _not_found(_error: Exception) -> Response:
    return problem_response(404, "subscription_not_found", "There is no such subscription.")


@bp.app_errorhandler(SubscriptionDisabledError)
def _disabled(_error: Exception) -> Response:
    return problem_response(
        409, "subscription_disabled", "Nothing goes to this subscription at present; enable it first."
    )


def parse_subscription(text: str) -> UUID:
    """Return the id behind `sub_…`.

    Raises:
        SubscriptionNotFoundError: it is none.
    """
    found = parse_id(text, "sub")
    if found is None:
        raise SubscriptionNotFoundError
    return found
