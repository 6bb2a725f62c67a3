"""The simulator's own endpoints, which Twilio does not have: ledger, options, inbound messages."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import orjson
from aiohttp import web

from simulator.drafts import Media
from simulator.inbound import Inbound, receive
from simulator.ledger import full, summary
from simulator.options import OptionError
from simulator.runtime import Simulator

MAX_WAIT_S = 600.0
_TEXTS = ("body", "messaging_service_sid", "opt_out_type", "message_sid")


async def show_health(_sim: Simulator, _request: web.Request) -> web.Response:
    """Answer that the simulator is up."""
    return _json({"status": "ok"})


async def show_ledger(sim: Simulator, request: web.Request) -> web.Response:
    """Show what was accepted: all, a part (`after`, `limit`, `to`), or with `summary=1` only counts."""
    query = request.query
    if query.get("summary") == "1":
        return _json(summary(sim.ledger, sim.store))
    try:
        after, limit = int(query.get("after", "0")), int(query["limit"]) if "limit" in query else None
    except ValueError:
        return _bad_request("after and limit must be numbers")
    if after < 0 or (limit is not None and limit < 0):
        return _bad_request("after and limit must not be negative")
    return _json(full(sim.ledger, sim.store, after=after, limit=limit, to=query.get("to")))


async def wait_until_idle(sim: Simulator, request: web.Request) -> web.Response:
    """Answer with the counts once every callback is done, or after `timeout_s`."""
    try:
        timeout_s = min(float(request.query.get("timeout_s", "30")), MAX_WAIT_S)
    except ValueError:
        return _bad_request("timeout_s must be a number")
    is_idle = await sim.lifecycle.wait_until_idle(timeout_s)
    return _json({"idle": is_idle, **summary(sim.ledger, sim.store)})


async def reset(sim: Simulator, _request: web.Request) -> web.Response:
    """Forget all messages, counts and opt-outs; the options stay."""
    sim.reset()
    return _json({})


async def show_config(sim: Simulator, _request: web.Request) -> web.Response:
    """Show the options that can be changed."""
    return _json(asdict(sim.behaviour))


async def change_config(sim: Simulator, request: web.Request) -> web.Response:
    """Change options while running; all of them or, when one is wrong, none."""
    changes = await _read_object(request)
    if changes is None:
        return _bad_request("a JSON object is wanted")
    try:
        sim.behaviour = sim.behaviour.changed(changes)
    except OptionError as error:
        return _bad_request(str(error))
    return _json(asdict(sim.behaviour))


async def post_inbound(sim: Simulator, request: web.Request) -> web.Response:
    """Have a phone write to the account; answers with what the webhook said."""
    payload = await _read_object(request)
    if payload is None or not payload.get("from") or not payload.get("to"):
        return _bad_request("a JSON object with from and to is wanted")
    try:
        inbound = _parse_inbound(payload)
    except (AttributeError, KeyError, TypeError) as error:
        return _bad_request(f"not an inbound message: {error!r}")
    url, base_url = str(payload.get("url") or sim.settings.inbound_url), str(request.url.origin())
    received = await receive(sim, inbound, url, base_url=base_url)
    posting = received.posting
    return _json(
        {
            "message_sid": received.message.sid,
            "reply": received.reply,
            "status": posting.http_status if posting else None,
            "content_type": posting.content_type if posting else None,
            "body": posting.answer.decode(errors="replace") if posting else None,
            "attempts": posting.attempts if posting else 0,
        }
    )


def _parse_inbound(payload: Mapping[str, Any]) -> Inbound:
    texts = {name: str(payload.get(name) or "") for name in _TEXTS}
    media = tuple(
        Media(str(item.get("url") or ""), str(item["content_type"])) for item in payload.get("media") or ()
    )
    return Inbound(from_=str(payload["from"]), to=str(payload["to"]), media=media, **texts)


async def _read_object(request: web.Request) -> dict[str, Any] | None:
    try:
        payload = orjson.loads(await request.read() or b"{}")
    except orjson.JSONDecodeError:
        return None
    return payload if isinstance(payload, dict) else None


def _json(payload: object, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(payload), status=status, content_type="application/json")


def _bad_request(text: str) -> web.Response:
    return _json({"error": text}, status=400)
