"""Events for consumers who come and get them: in pages, by waiting for the next ones, or as a stream."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import orjson
import structlog
from apiflask import APIBlueprint
from flask import Response, g, request, url_for
from sqlalchemy.exc import SQLAlchemyError

from smsapp.events import schemas
from smsapp.events.feed_limits import FeedLimits
from smsapp.events.read_feed import CursorExpiredError, CursorUnknownError, FeedFilter, FeedPage, read_feed
from smsapp.keys.scopes import Scope
from smsapp.news.desk import NewsDesk, Wait
from smsapp.news.hang_ups import on_hang_up
from smsapp.runtime import Runtime
from smsapp.web.auth import auth
from smsapp.web.openapi import answer, problems
from smsapp.web.problems import Fault, ProblemError
from smsapp.web.responses import json_response
from smsapp.web.wiring import provided, runtime

log = structlog.get_logger(__name__)

bp = APIBlueprint("events", __name__, url_prefix="/sms", tag="Events")

EVENT_STREAM = "text/event-stream"
_RECONNECT_AFTER_MS = 1000


@bp.get("/events")
@bp.auth_required(auth, roles=[Scope.READ])
@bp.input(schemas.FeedHeaders, location="headers")
@bp.input(schemas.FeedQuery, location="query")
@bp.doc(
    summary="Get events",
    operation_id="listEvents",
    responses=answer(
        200,
        "A page of events, or with `Accept: text/event-stream` a stream of them.",
        schemas.FeedPage,
        headers={"Link": "Link"},
        text_media_type=EVENT_STREAM,
    )
    | problems(400, 401, 403, 404, 410, 500, 503),
)
def feed(headers_data: schemas.FeedHeaders, query_data: schemas.FeedQuery) -> Response:
    """Return what has happened, in order and without gaps, after the number of the last event that you have.

    Take `next_after` as `after` of the next request, also after an empty page: a filter may have passed over others.
    With `wait` the answer comes as soon as there is an event. As a stream, each event has its number as `id`; after a
    lost connection, `Last-Event-ID` takes it up where it ended.
    """
    wanted = FeedFilter(g.caller.application_id, query_data.limit, query_data.types, query_data.tags)
    if request.accept_mimetypes.best_match(["application/json", EVENT_STREAM]) == EVENT_STREAM:
        last = headers_data.last_event_id
        return _stream(query_data.after if last is None else last, wanted)
    return _page(query_data.after, wanted, wait_s=query_data.wait)


def _page(after: int | None, wanted: FeedFilter, *, wait_s: float) -> Response:
    page = _first_with_events(after, wanted, wait_s=wait_s) if wait_s else _read(after, wanted)
    headers = {}
    if page.has_more:
        arguments: dict[str, Any] = {**request.args.to_dict(), "after": page.next_after}
        headers["Link"] = f'<{url_for("events.feed", **arguments)}>; rel="next"'
    document = {
        "data": page.events,
        "has_more": page.has_more,
        "next_after": page.next_after,
        "latest": page.latest,
    }
    return json_response(document, 200, headers)


def _first_with_events(after: int | None, wanted: FeedFilter, *, wait_s: float) -> FeedPage:
    until = time.monotonic() + wait_s
    with ExitStack() as opened:
        wait = opened.enter_context(
            provided(NewsDesk).for_events()
        )  # before reading, so that nothing is missed
        page = _read(after, wanted)
        if not page.events:
            _wait_in_line(opened, wait)
        while not page.events and time.monotonic() < until and wait.goes_on:
            if not page.has_more:
                wait.sleep(until - time.monotonic())
            page = _read(page.next_after, wanted)
    return page


def _stream(after: int | None, wanted: FeedFilter) -> Response:
    with ExitStack() as opened:
        wait = opened.enter_context(provided(NewsDesk).for_events())
        first = _read(after, wanted)  # what is wrong with the request is said before the stream begins
        _wait_in_line(opened, wait)
        response = Response(_chunks(runtime(), _limits(), wait, first, wanted), content_type=EVENT_STREAM)
        response.call_on_close(opened.pop_all().close)
    response.headers["X-Accel-Buffering"] = "no"  # nginx would keep events until it has a page of them
    return response


def _wait_in_line(opened: ExitStack, wait: Wait) -> None:
    """Take a place among those who wait, until `opened` closes or the client hangs up.

    Raises:
        OverloadedError: too many wait already.
    """
    opened.enter_context(_limits().places.taken(g.caller.key_id))
    opened.enter_context(on_hang_up(request.environ.get("gunicorn.socket"), wait.abandon))


def _chunks(
    rt: Runtime, limits: FeedLimits, wait: Wait, page: FeedPage, wanted: FeedFilter
) -> Iterator[bytes]:
    """Yield pages as they come; runs after the request's context has gone."""
    until = time.monotonic() + limits.longest_stream_s
    yield b"retry: %d\n\n" % _RECONNECT_AFTER_MS
    while True:
        # Without data this is no event, but the reader remembers the number: also one that a filter passed over.
        yield b"".join(map(_frame, page.events)) or b"id: %d\n\n" % page.next_after
        if not wait.goes_on or time.monotonic() > until:
            return
        if not page.has_more:
            wait.sleep(limits.heartbeat_s)
        try:
            page = read_feed(rt, page.next_after, wanted, stretch=limits.stretch)
        except (SQLAlchemyError, CursorExpiredError, CursorUnknownError) as error:
            log.warning("event_stream_ended", error=type(error).__name__)
            return  # the reader reconnects and gets the error


def _frame(event: dict[str, Any]) -> bytes:
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event["seq"],
        str(event["type"]).encode(),
        orjson.dumps(event),
    )


def _read(after: int | None, wanted: FeedFilter) -> FeedPage:
    try:
        return read_feed(runtime(), after, wanted, stretch=_limits().stretch)
    except CursorExpiredError as error:
        detail = (
            f"Events after this one are not kept any more. Those after {error.oldest} are; without `after` "
            "you get the oldest."
        )
        raise ProblemError(410, "cursor_expired", detail, [Fault("?after", "expired", detail)]) from None
    except CursorUnknownError:
        detail = (
            "No event has this number yet; is it from another installation, or from before a restored backup?"
        )
        raise ProblemError(
            404, "event_not_found", detail, [Fault("?after", "out_of_range", detail)]
        ) from None


def _limits() -> FeedLimits:
    return provided(FeedLimits)
