"""Twilio's REST API for messages: https://www.twilio.com/docs/messaging/api/message-resource."""

import asyncio
import socket
import struct
import time
from typing import NoReturn

from aiohttp import web

from simulator.chance import random_latency_s
from simulator.course import Answer, Refusal
from simulator.errors import TwilioError
from simulator.http import (
    empty_response,
    error_response,
    html_response,
    json_response,
    read_form,
)
from simulator.listing import list_page
from simulator.messages import API, IN_PROGRESS, Message, rfc2822, to_twilio
from simulator.runtime import Simulator

EARLY_CALLBACKS_S = 5.0  # a receiver that answers no callback must not hold up the 201 for ever
WITHHELD_S = 30.0  # longer than any sensible client waits
FEEDBACK = frozenset({"confirmed", "unconfirmed"})
ABORTED_S = 1.0  # the handler is canceled as soon as the connection is gone


async def create_message(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Create a message: accept or refuse it, then answer or withhold the answer."""
    draft = sim.read_draft(await read_form(request))
    fate = sim.decide(draft)
    latency_s = random_latency_s(sim.behaviour)
    if fate.course.refusal:
        await asyncio.sleep(latency_s)
        await _refuse(sim, request, fate.course.refusal)
    message = sim.accept(draft, fate)
    resource = to_twilio(message, sim.settings.account_sid)
    if draft.send_at:
        sim.lifecycle.schedule(message, fate.plan, sim.ledger)
    else:
        life = sim.lifecycle.start(message, fate.plan, sim.ledger)
        if fate.plan.early:
            await asyncio.wait({life}, timeout=EARLY_CALLBACKS_S)
    if latency_s:
        await asyncio.sleep(latency_s)
    return await _answer(sim, request, message, resource, fate.course.answer)


async def fetch_message(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Fetch one message."""
    return json_response(sim, to_twilio(find_message(sim, request), sim.settings.account_sid))


async def list_messages(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """List messages, newest first, in pages."""
    return json_response(sim, list_page(sim.store, dict(request.query)))


async def update_message(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Cancel a scheduled message or redact a body; never both."""
    form = {name: values[0] for name, values in (await read_form(request)).items()}
    message = find_message(sim, request)
    # https://www.twilio.com/docs/api/errors/30400
    if (
        ("Status" in form) == ("Body" in form)
        or form.get("Status", "canceled") != "canceled"
        or form.get("Body")
    ):
        raise TwilioError(30400)
    if "Status" in form:
        if message.status != "scheduled":
            raise TwilioError(30409)
        sim.lifecycle.cancel(message, sim.ledger)
    else:
        _must_be_over(message)
        message.redacted = True
    return json_response(sim, to_twilio(message, sim.settings.account_sid))


async def delete_message(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Delete a message; the ledger keeps it."""
    message = find_message(sim, request)
    _must_be_over(message)
    message.deleted = True
    return empty_response(sim)


async def create_feedback(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Record whether the recipient acted on the message; a second report replaces the first."""
    message = find_message(sim, request)
    form = await read_form(request)
    outcome = form["Outcome"][0] if "Outcome" in form else "unconfirmed"
    if outcome not in FEEDBACK:
        raise TwilioError(20001)
    message.feedback = outcome
    now, sid = rfc2822(int(time.time())), sim.settings.account_sid
    return json_response(
        sim,
        {
            "account_sid": sid,
            "message_sid": message.sid,
            "outcome": outcome,
            "date_created": now,
            "date_updated": now,
            "uri": f"{API}/{sid}/Messages/{message.sid}/Feedback.json",
        },
        status=201,
    )


async def fetch_account(sim: Simulator, _request: web.Request) -> web.StreamResponse:
    """Fetch the account, also one that is not active: the usual probe for credentials."""
    sid = sim.settings.account_sid
    return json_response(
        sim,
        {
            "sid": sid,
            "owner_account_sid": sid,
            "friendly_name": "Simulated account",
            "status": sim.behaviour.account_status,
            "type": "Full",
            "auth_token": "[Redacted]",
            "date_created": rfc2822(0),
            "date_updated": rfc2822(0),
            "subresource_uris": {"messages": f"{API}/{sid}/Messages.json"},
            "uri": f"{API}/{sid}.json",
        },
    )


async def not_found(_sim: Simulator, _request: web.Request) -> web.StreamResponse:
    """Answer 404 for every resource that the simulator does not have."""
    raise TwilioError(20404)


def find_message(sim: Simulator, request: web.Request) -> Message:
    """Return the message that a path names.

    Raises:
        TwilioError: 20404, there is none.
    """
    message = sim.store.find(request.match_info["sid"])
    if message is None:
        raise TwilioError(20404)
    return message


def _must_be_over(message: Message) -> None:
    """Refuse changes to a message that is still being sent, as code 20009 suggests that Twilio does."""
    if message.status in IN_PROGRESS:
        raise TwilioError(20009)


async def _refuse(sim: Simulator, request: web.Request, refusal: Refusal) -> NoReturn:
    if refusal.code is not None:
        raise TwilioError(refusal.code, retry_after_s=refusal.retry_after_s)
    sim.ledger.refused["reset"] += 1
    await _abort(request, reset=True)


async def _answer(
    sim: Simulator, request: web.Request, message: Message, resource: dict[str, object], answer: Answer
) -> web.StreamResponse:
    match answer:
        case Answer.CREATED:
            message.answered = True
            return json_response(sim, resource, status=201)
        case Answer.SERVER_ERROR:
            return error_response(sim, TwilioError(20500))
        case Answer.UNREADABLE:
            return html_response(sim)
        case Answer.WITHHELD:
            await asyncio.sleep(WITHHELD_S)
        case Answer.DROPPED:
            pass
    return await _abort(request)


async def _abort(request: web.Request, *, reset: bool = False) -> NoReturn:
    """Close the connection without a response, or with a TCP reset; aiohttp then cancels the handler."""
    transport = request.transport
    if transport is not None:
        if reset:
            # Lingering for zero seconds makes the kernel send RST instead of FIN.
            raw: socket.socket = transport.get_extra_info("socket")
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
    await asyncio.sleep(ABORTED_S)
    raise asyncio.CancelledError
