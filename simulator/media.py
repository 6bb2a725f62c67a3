"""The Media subresource: https://www.twilio.com/docs/messaging/api/media-resource.

Twilio fetches what a message carries and keeps a copy. The simulator fetches nothing: it stores the URL, and redirects
requests for the content to it. For media without a URL, which only inbound messages have, it serves content of its own.
"""

import base64
from types import MappingProxyType

from aiohttp import web

from simulator.api import find_message
from simulator.errors import TwilioError
from simulator.http import empty_response, error_response, json_response
from simulator.messages import API, MediaItem, Message, rfc2822
from simulator.runtime import Simulator

_ONE_PIXEL = MappingProxyType(
    {
        "image/gif": base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7"),
        "image/png": base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
        ),
    }
)
_ANYTHING = b"simulated media\n"


async def list_media(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """List a message's media; there are never more than ten, so one page holds them."""
    message = find_message(sim, request)
    uri = f"{_message_uri(message, sim.settings.account_sid)}/Media.json?PageSize=50&Page=0"
    return json_response(
        sim,
        {
            "media_list": [_to_twilio(message, item, sim.settings.account_sid) for item in message.media],
            "end": max(0, len(message.media) - 1),
            "first_page_uri": uri,
            "next_page_uri": None,
            "page": 0,
            "page_size": 50,
            "previous_page_uri": None,
            "start": 0,
            "uri": uri,
        },
    )


async def fetch_media(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Fetch the metadata of one."""
    message = find_message(sim, request)
    return json_response(sim, _to_twilio(message, _find(message, request), sim.settings.account_sid))


async def delete_media(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Delete one."""
    message = find_message(sim, request)
    message.media.remove(_find(message, request))
    return empty_response(sim)


async def show_content(sim: Simulator, request: web.Request) -> web.StreamResponse:
    """Serve the content itself; as by Twilio's default, to everybody who knows the URL."""
    try:
        item = _find(find_message(sim, request), request)
    except TwilioError as error:
        return error_response(sim, error)
    if item.media.url:
        raise web.HTTPTemporaryRedirect(item.media.url)
    content = _ONE_PIXEL.get(item.media.content_type, _ANYTHING)
    return web.Response(body=content, headers={"Content-Type": item.media.content_type})


def media_uri(message: Message, item: MediaItem, account_sid: str) -> str:
    """Return where the content is."""
    return f"{_message_uri(message, account_sid)}/Media/{item.sid}"


def _message_uri(message: Message, account_sid: str) -> str:
    return f"{API}/{account_sid}/Messages/{message.sid}"


def _find(message: Message, request: web.Request) -> MediaItem:
    for item in message.media:
        if item.sid == request.match_info["media_sid"]:
            return item
    raise TwilioError(20404)


def _to_twilio(message: Message, item: MediaItem, account_sid: str) -> dict[str, object]:
    created = rfc2822(int(message.created_at))
    return {
        "account_sid": account_sid,
        "content_type": item.media.content_type,
        "date_created": created,
        "date_updated": created,
        "parent_sid": message.sid,
        "sid": item.sid,
        "uri": f"{media_uri(message, item, account_sid)}.json",
    }
