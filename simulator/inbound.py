"""Inbound messages: https://www.twilio.com/docs/messaging/guides/webhook-request."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simulator.callback_url import parse_target
from simulator.callbacks import Posting
from simulator.drafts import Draft
from simulator.messages import API_VERSION, Message
from simulator.opt_outs import REPLIES, keyword_of
from simulator.runtime import Simulator

PLACES = ("City", "State", "Zip", "Country")


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message from a phone to one of the account's senders. `media` holds URLs and content types."""

    from_: str
    to: str
    body: str = ""
    messaging_service_sid: str = ""
    media: Sequence[tuple[str, str]] = ()
    opt_out_type: str = ""
    message_sid: str = ""


@dataclass(frozen=True, slots=True)
class Reception:
    """What came of an inbound message: how the webhook answered (None without one), and Twilio's own reply, if any."""

    message: Message
    posting: Posting | None
    reply: str | None


async def receive(sim: Simulator, inbound: Inbound, url: str) -> Reception:
    """Take in an inbound message, heed its keyword as Twilio does, post it to `url` unless that is blank.

    One that was there before is only posted again: the phone wrote it once.
    """
    keyword = keyword_of(inbound.body, inbound.opt_out_type)
    if sim.behaviour.advanced_opt_out and inbound.messaging_service_sid:
        inbound = replace(inbound, opt_out_type=keyword)
    message = sim.store.find(inbound.message_sid)
    reply = None
    if message is None:
        message = sim.store.receive(_draft(inbound), now=time.time())
        sim.opt_outs.hear(keyword, phone=inbound.from_, senders=(inbound.to, inbound.messaging_service_sid))
        reply = REPLIES.get(keyword)
    if not url:
        return Reception(message, None, reply)
    params = inbound_params(inbound, message.sid, message.num_segments, sim.settings.account_sid)
    return Reception(message, await sim.poster.post_once(parse_target(url), params), reply)


def inbound_params(inbound: Inbound, sid: str, num_segments: int, account_sid: str) -> dict[str, str]:
    """Return the parameters of the webhook; what Twilio knows of places is often blank."""
    params = {
        "ApiVersion": API_VERSION,
        "SmsSid": sid,
        "SmsStatus": "received",
        "SmsMessageSid": sid,
        "MessageSid": sid,
        "NumSegments": str(num_segments),
        "From": inbound.from_,
        "To": inbound.to,
        "Body": inbound.body,
        "AccountSid": account_sid,
        "NumMedia": str(len(inbound.media)),
    }
    params |= {f"{end}{place}": "" for end in ("From", "To") for place in PLACES}
    if inbound.messaging_service_sid:
        params["MessagingServiceSid"] = inbound.messaging_service_sid
    if inbound.opt_out_type:
        params["OptOutType"] = inbound.opt_out_type
    for number, (media_url, content_type) in enumerate(inbound.media):
        params |= {f"MediaUrl{number}": media_url, f"MediaContentType{number}": content_type}
    return params


def _draft(inbound: Inbound) -> Draft:
    return Draft(
        to=inbound.to,
        from_=inbound.from_,
        messaging_service_sid=inbound.messaging_service_sid or None,
        body=inbound.body,
        num_media=len(inbound.media),
        status_callback=None,
        send_at=None,
    )
