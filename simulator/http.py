"""What all endpoints of the REST API share: authentication, error JSON, Twilio's headers, forms."""

import base64
import binascii
import hmac
import os
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import orjson
from aiohttp import web

from simulator.content import Form
from simulator.errors import TwilioError
from simulator.runtime import Simulator

Endpoint = Callable[[Simulator, web.Request], Awaitable[web.StreamResponse]]
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def rest(
    sim: Simulator, endpoint: Endpoint, *, counts_refusals: bool = False, needs_active: bool = True
) -> Handler:
    """Return the handler of an endpoint of Twilio's API; `needs_active`: a suspended account may not use it."""

    async def handle(request: web.Request) -> web.StreamResponse:
        ledger = sim.ledger
        ledger.enter()
        try:
            authenticate(sim, request, needs_active=needs_active)
            return await endpoint(sim, request)
        except TwilioError as error:
            if counts_refusals:
                ledger.refused[str(error.code)] += 1
            return error_response(sim, error)
        finally:
            ledger.leave()

    return handle


def authenticate(sim: Simulator, request: web.Request, *, needs_active: bool) -> None:
    """Check the credentials, and that the path is about their account.

    Raises:
        TwilioError: 20003 for bad credentials, 20404 for another account, 20005 for one that must be active and is not.
    """
    if not _may_enter(sim, request.headers.get("Authorization", "")):
        raise TwilioError(20003)
    if request.match_info.get("account_sid", sim.settings.account_sid) != sim.settings.account_sid:
        raise TwilioError(20404)
    if needs_active and sim.behaviour.account_status != "active":
        raise TwilioError(20005)


async def read_form(request: web.Request) -> Form:
    """Return the form, blank values included."""
    return parse_qs((await request.read()).decode(), keep_blank_values=True)


def json_response(sim: Simulator, payload: object, status: int = 200) -> web.Response:
    """Return a JSON answer with the headers that Twilio adds."""
    return web.Response(body=orjson.dumps(payload), status=status, headers=_headers(sim))


def empty_response(sim: Simulator) -> web.Response:
    """Return a 204."""
    return web.Response(status=204, headers=_headers(sim))


def error_response(sim: Simulator, error: TwilioError) -> web.Response:
    """Return Twilio's error JSON."""
    headers = _headers(sim)
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Basic realm="Twilio API"'
    if error.retry_after_s is not None:
        headers["Retry-After"] = str(error.retry_after_s)
    return web.Response(body=error.to_json(), status=error.status, headers=headers)


def html_response(sim: Simulator) -> web.Response:
    """Return a 201 with an HTML body, which no client can parse."""
    headers = _headers(sim) | {"Content-Type": "text/html"}
    return web.Response(body=b"<html><body>Created</body></html>", status=201, headers=headers)


def _headers(sim: Simulator) -> dict[str, str]:
    return {
        "Content-Type": "application/json",
        "Twilio-Concurrent-Requests": str(sim.ledger.concurrent),
        "Twilio-Request-Id": "RQ" + os.urandom(16).hex(),
    }


def _may_enter(sim: Simulator, authorization: str) -> bool:
    scheme, _, encoded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return False
    try:
        user, _, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    accepted = [hmac.compare_digest(password.encode(), token.encode()) for token in sim.settings.auth_tokens]
    return user == sim.settings.account_sid and any(accepted)
