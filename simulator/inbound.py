"""Inbound messages: https://www.twilio.com/docs/messaging/guides/webhook-request."""

import time
from dataclasses import dataclass, replace

from simulator.callback_url import parse_target
from simulator.callbacks import Posting
from simulator.drafts import Draft, Media, kind_of
from simulator.media import media_uri
from simulator.messages import API_VERSION, Message
from simulator.opt_outs import REPLIES, keyword_of
from simulator.runtime import Simulator

PLACES = ("City", "State", "Zip", "Country")


@dataclass(frozen=True, slots=True)
class Inbound:
    """A message from a phone to one of the account's senders."""

    from_: str
    to: str
    body: str = ""
    messaging_service_sid: str = ""
    media: tuple[Media, ...] = ()
    opt_out_type: str = ""
    message_sid: str = ""


@dataclass(frozen=True, slots=True)
class Reception:
    """The result of an inbound message: the webhook's status (None without one), and Twilio's own reply, if any."""

    message: Message
    posting: Posting | None
    reply: str | None


async def receive(sim: Simulator, inbound: Inbound, url: str, *, base_url: str) -> Reception:
    """Store an inbound message, obey its keyword as Twilio does, and post it to `url` unless that is blank.

    A message that is stored already is only posted again: the phone sent it once. `base_url` is this simulator's own,
    which serves media that have no URL elsewhere.
    """
    keyword = keyword_of(inbound.body, inbound.opt_out_type, to=inbound.to)
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
    params = inbound_params(inbound, message, sim.settings.account_sid, base_url)
    return Reception(message, await sim.poster.post_once(parse_target(url), params), reply)


def inbound_params(inbound: Inbound, message: Message, account_sid: str, base_url: str) -> dict[str, str]:
    """Return the parameters of the webhook; Twilio's geographic fields are often blank."""
    sid = message.sid
    params = {
        "ApiVersion": API_VERSION,
        "SmsSid": sid,
        "SmsStatus": "received",
        "SmsMessageSid": sid,
        "MessageSid": sid,
        "NumSegments": str(message.num_segments),
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
    for number, item in enumerate(message.media):
        address = item.media.url or f"{base_url}{media_uri(message, item, account_sid)}"
        params |= {f"MediaUrl{number}": address, f"MediaContentType{number}": item.media.content_type}
    if kind_of(inbound.from_) == "whatsapp":
        params |= {"WaId": inbound.from_.partition("+")[2], "ProfileName": "Simulated"}
    return params


def _draft(inbound: Inbound) -> Draft:
    return Draft(
        to=inbound.to,
        from_=inbound.from_,
        messaging_service_sid=inbound.messaging_service_sid or None,
        body=inbound.body,
        media=inbound.media,
        status_callback=None,
        send_at=None,
    )
