"""Lists of messages with Twilio's filters and paging.

A page token names the last message of the previous page, so that new messages do not shift pages.
"""

from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from itertools import islice
from urllib.parse import urlencode

from simulator.errors import TwilioError
from simulator.messages import API, Message, MessageStore, to_twilio

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 1000
FORWARD, BACKWARD = "PASM", "PBSM"
FILTERS = ("To", "From", "DateSent", "DateSent<", "DateSent>")


def list_page(store: MessageStore, query: Mapping[str, str]) -> dict[str, object]:
    """Return one page of the list.

    Raises:
        TwilioError: 20001 for an invalid parameter.
    """
    size = min(_number(query, "PageSize", DEFAULT_PAGE_SIZE, least=1), MAX_PAGE_SIZE)
    page = _number(query, "Page", 0, least=0)
    found = list(islice(_matches(store, query, size, page), size + 1))
    if query.get("PageToken", "").startswith(BACKWARD):
        has_next, messages = True, found[size - 1 :: -1] if len(found) > size else found[::-1]
    else:
        has_next, messages = len(found) > size, found[:size]
    filters = [(name, query[name]) for name in FILTERS if name in query]

    def uri(number: int, token: str | None = None) -> str:
        paging = [("PageSize", str(size)), ("Page", str(number))] + ([("PageToken", token)] if token else [])
        return f"{API}/{store.account_sid}/Messages.json?{urlencode(filters + paging)}"

    return {
        "end": page * size + max(0, len(messages) - 1),
        "first_page_uri": uri(0),
        "messages": [to_twilio(message, store.account_sid) for message in messages],
        "next_page_uri": uri(page + 1, _token(FORWARD, messages[-1])) if has_next and messages else None,
        "page": page,
        "page_size": size,
        "previous_page_uri": uri(page - 1, _token(BACKWARD, messages[0])) if page and messages else None,
        "start": page * size,
        "uri": uri(page, query.get("PageToken")),
    }


def _matches(store: MessageStore, query: Mapping[str, str], size: int, page: int) -> Iterator[Message]:
    to, token = query.get("To") or None, query.get("PageToken", "")
    keep = _filter(query)
    if token.startswith(BACKWARD):
        return filter(keep, store.scan(to=to, after=_sequence(token)))
    if token:
        return filter(keep, store.scan(to=to, before=_sequence(token)))
    return islice(filter(keep, store.scan(to=to)), page * size, None)


def _filter(query: Mapping[str, str]) -> Callable[[Message], bool]:
    from_ = query.get("From")
    spans = {name: _span(query[name]) for name in ("DateSent", "DateSent<", "DateSent>") if query.get(name)}

    def keep(message: Message) -> bool:
        if from_ and message.from_ != from_:
            return False
        return not spans or _is_sent_within(message, spans)

    return keep


def _is_sent_within(message: Message, spans: Mapping[str, tuple[float, float]]) -> bool:
    """Return whether a message was sent within all spans; one not sent yet is within none (an assumption)."""
    if message.sent_at is None:
        return False
    sent_at = int(message.sent_at)
    for name, (begins, ends) in spans.items():
        # "Before" and "after" include the day or second that they name.
        if (name != "DateSent<" and sent_at < begins) or (name != "DateSent>" and sent_at >= ends):
            return False
    return True


def _span(text: str) -> tuple[float, float]:
    """Return the day or the second that a filter names: its begin and, exclusive, its end."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise TwilioError(20001) from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    length = timedelta(seconds=1) if "T" in text else timedelta(days=1)
    return at.timestamp(), (at + length).timestamp()


def _number(query: Mapping[str, str], name: str, default: int, *, least: int) -> int:
    text = query.get(name, "")
    if not text:
        return default
    if not text.isdecimal() or int(text) < least:
        raise TwilioError(20001)
    return int(text)


def _token(prefix: str, message: Message) -> str:
    return f"{prefix}{message.sequence:032x}"


def _sequence(token: str) -> int:
    try:
        return int(token[len(FORWARD) :], 16)
    except ValueError:
        raise TwilioError(20001) from None
