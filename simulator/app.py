"""Put a simulator together and serve it."""

import asyncio
import signal
import sys
from functools import partial

import aiohttp
from aiohttp import web

from simulator import admin, api, media
from simulator.callbacks import Poster, new_session
from simulator.http import rest
from simulator.ledger import Ledger
from simulator.lifecycle import Lifecycle
from simulator.messages import API, MessageStore
from simulator.opt_outs import OptOuts
from simulator.options import Behaviour, Settings
from simulator.runtime import Simulator

BACKLOG = 1024
SHUTDOWN_S = 0.2  # nobody depends on a simulator's last answer
MAX_FORM_BYTES = 1024 * 1024


async def serve(settings: Settings, behaviour: Behaviour) -> None:
    """Serve until SIGTERM or SIGINT; prints one line once connections are taken."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    async with new_session(settings) as session:
        sim = new_simulator(settings, behaviour, session)
        # Cancellation ends the handlers that withhold an answer when their client has left.
        runner = web.AppRunner(
            new_app(sim), access_log=None, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, settings.host, settings.port, backlog=BACKLOG).start()
            host, port = runner.addresses[0][:2]
            sys.stdout.write(f"simulator ready on http://{host}:{port}\n")
            sys.stdout.flush()
            await stopped.wait()
        finally:
            sim.lifecycle.stop()
            await runner.cleanup()


def new_simulator(settings: Settings, behaviour: Behaviour, session: aiohttp.ClientSession) -> Simulator:
    """Return a simulator that has seen nothing yet."""
    poster, opt_outs = Poster(settings, session), OptOuts()
    return Simulator(
        settings=settings,
        behaviour=behaviour,
        store=MessageStore(settings.account_sid),
        ledger=Ledger(),
        opt_outs=opt_outs,
        poster=poster,
        lifecycle=Lifecycle(poster, opt_outs),
    )


def new_app(sim: Simulator) -> web.Application:
    """Return the web application: Twilio's paths and, beside them, our own."""
    app = web.Application(client_max_size=MAX_FORM_BYTES)
    account = f"{API}/{{account_sid}}"
    messages, message = f"{account}/Messages.json", f"{account}/Messages/{{sid}}.json"
    parts = f"{account}/Messages/{{sid}}"
    app.add_routes(
        [
            web.post(messages, rest(sim, api.create_message, counts_refusals=True)),
            web.get(messages, rest(sim, api.list_messages)),
            web.get(message, rest(sim, api.fetch_message)),
            web.post(message, rest(sim, api.update_message)),
            web.delete(message, rest(sim, api.delete_message)),
            web.get(f"{parts}/Media.json", rest(sim, media.list_media)),
            web.get(f"{parts}/Media/{{media_sid}}.json", rest(sim, media.fetch_media)),
            web.delete(f"{parts}/Media/{{media_sid}}.json", rest(sim, media.delete_media)),
            web.get(f"{parts}/Media/{{media_sid}}", partial(media.show_content, sim)),
            web.post(f"{parts}/Feedback.json", rest(sim, api.create_feedback)),
            web.get(f"{account}.json", rest(sim, api.fetch_account, needs_active=False)),
            web.get("/_health", partial(admin.show_health, sim)),
            web.get("/_config", partial(admin.show_config, sim)),
            web.post("/_config", partial(admin.change_config, sim)),
            web.post("/_reset", partial(admin.reset, sim)),
            web.post("/_inbound", partial(admin.post_inbound, sim)),
            web.get("/_idle", partial(admin.wait_until_idle, sim)),
            web.get("/ledger", partial(admin.show_ledger, sim)),
            web.route("*", "/{path:.*}", rest(sim, api.not_found)),
        ]
    )
    return app
