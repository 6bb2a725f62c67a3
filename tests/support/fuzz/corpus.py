"""Valid requests to every route, with canaries wherever a request holds something private."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from simulator.signature import sign
from tests.support.environment import AUTH_TOKEN

NUMBER = "+14155559273"
WORDS = "quokka-canary-words"

JSON = b"application/json"
CSV = b"text/csv"
FORM = b"application/x-www-form-urlencoded"
BOUNDARY = b"fuzz-boundary"
MULTIPART = b"multipart/form-data; boundary=" + BOUNDARY

Fields = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Request:
    """A request in parts; `route` names the operation that it is made of."""

    route: str
    method: bytes
    target: bytes
    fields: Fields = ()
    body: bytes = b""
    version: bytes = b"HTTP/1.1"
    framed: bool = False

    def field(self, name: bytes) -> bytes:
        """Return the value of a field, empty if there is none."""
        return next((value for each, value in self.fields if each.lower() == name.lower()), b"")

    def having(self, name: bytes, value: bytes | None) -> "Request":
        """Return it with another value of a field, or without the field."""
        kept = tuple(pair for pair in self.fields if pair[0].lower() != name.lower())
        return replace(self, fields=kept if value is None else (*kept, (name, value)))

    def render(self) -> bytes:
        """Return it as it is sent, with a Content-Length unless its framing is chosen already."""
        fields = list(self.fields)
        if self.method != b"GET" and not self.framed:
            fields.append((b"Content-Length", str(len(self.body)).encode()))
        head = b" ".join([self.method, self.target, self.version]) + b"\r\n"
        return head + b"".join(name + b": " + value + b"\r\n" for name, value in fields) + b"\r\n" + self.body


@dataclass(frozen=True, slots=True)
class Names:
    """What requests name: the service's address, a caller's key, and the id behind each path parameter."""

    base_url: str
    key: str
    ids: Mapping[str, str]


def corpus(names: Names) -> list[Request]:
    """Return at least one valid request to each operation of the API document; those with a body stand there thrice."""
    made = [_request(names, *each) for each in _API]
    made += [_callback(names, target, form) for target, form in _CALLBACKS]
    return made + [request for request in made if request.body] * 2


def signed(request: Request, names: Names, form: Sequence[tuple[str, str]]) -> Request:
    """Return a callback with this form, rightly signed."""
    signature = sign(AUTH_TOKEN, names.base_url + request.target.decode("latin-1"), form)
    made = replace(request, body=urlencode(form).encode())
    return made.having(b"X-Twilio-Signature", signature.encode())


def form_of(request: Request) -> list[tuple[str, str]] | None:
    """Return the form behind a callback of the corpus, None for any other request."""
    return next((form for target, form in _CALLBACKS if target == request.route.partition(" ")[2]), None)


def _request(names: Names, route: str, kind: bytes = b"", body: object = None, query: str = "") -> Request:
    method, _, path = route.partition(" ")
    for name, value in names.ids.items():
        path = path.replace(f"{{{name}}}", value)
    fields: Fields = ((b"Host", b"127.0.0.1"),)
    if path.startswith("/sms"):
        fields += ((b"Authorization", f"Bearer {names.key}".encode()),)
    if kind:
        fields += ((b"Content-Type", kind),)
    raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    target = path + (f"?{query}" if query else "")
    return Request(route, method.encode(), target.encode(), fields, raw)


def _callback(names: Names, target: str, form: list[tuple[str, str]]) -> Request:
    route = f"POST {target}"
    path = target.replace("{target}", names.ids["message_id"])
    request = Request(
        route, b"POST", path.encode(), ((b"Host", b"127.0.0.1"), (b"Content-Type", FORM + b"; charset=utf-8"))
    ).having(b"I-Twilio-Idempotency-Token", b"token-1")
    return signed(request, names, form)


def _multipart(**parts: str) -> bytes:
    lines = [
        b"--" + BOUNDARY + b'\r\nContent-Disposition: form-data; name="' + name.encode() + b'"'
        + (b'; filename="f.csv"\r\nContent-Type: text/csv; charset=utf-8' if name == "file" else b"")
        + b"\r\n\r\n" + value.encode() + b"\r\n"
        for name, value in parts.items()
    ]  # fmt: skip
    return b"".join(lines) + b"--" + BOUNDARY + b"--\r\n"


_STATUS = [
    ("MessageSid", "SM" + "1" * 32), ("SmsSid", "SM" + "1" * 32), ("MessageStatus", "delivered"), ("To", NUMBER),
    ("AccountSid", "AC" + "0" * 32), ("From", "+15005550006"), ("ErrorCode", "30003"),
    ("RawDlrDoneDate", "2611280930"),
]  # fmt: skip
_INBOUND = [
    ("MessageSid", "SM" + "2" * 32), ("From", NUMBER), ("To", "+15005550006"), ("Body", f"{WORDS} STOP ä€\U0001f600"),
    ("NumMedia", "1"), ("MediaUrl0", "https://example.com/a.png"), ("NumSegments", "1"),
    ("AccountSid", "AC" + "0" * 32),
]  # fmt: skip
_CALLBACKS = [
    ("/twilio/status", _STATUS),
    ("/twilio/status/{target}", _STATUS),
    ("/twilio/inbound", _INBOUND),
    ("/twilio/check", [("AccountSid", "AC" + "0" * 32)]),
]

_PLAN = {"steps": [{"on": ["any"], "do": "resend", "from": "+15005550001", "after": "5m"}]}
_ALL_OF_A_TEXT = {
    "to": NUMBER, "body": WORDS, "from": "+15005550006", "tags": ["a", "b"], "client_reference": "order-1",
    "media_urls": ["https://example.com/a.png"], "callback_url": "https://example.com/events", "priority": "otp",
    "on_unconfirmed": "hold", "sensitive": True, "deliver_by": "2999-01-01T00:00:00Z", "quiet_hours": "21:00-08:00",
    "urgent": False,
}  # fmt: skip
_LIST = "limit=5&cursor="

_API: list[tuple[str, bytes, object, str] | tuple[str, bytes, object] | tuple[str]] = [
    ("GET /livez",),
    ("GET /readyz",),
    ("GET /metrics",),
    ("POST /sms/send", JSON, {"to": NUMBER, "body": WORDS}),
    ("POST /sms/send", JSON, {"to": NUMBER, "body": WORDS}),
    ("POST /sms/send", JSON, _ALL_OF_A_TEXT),
    ("POST /sms/send", JSON, {"to": NUMBER, "template": "hello", "values": {"name": WORDS}, "on_failure": _PLAN}),
    ("POST /sms/send", JSON, {"to": f"whatsapp:{NUMBER}", "body": WORDS, "dry_run": True}),
    ("GET /sms/messages", b"", None, f"status=delivered&to=%2B14155559273&{_LIST}msg_{'0' * 32}"),
    ("GET /sms/messages", b"", None, f"job_id=job_{'0' * 32}&created_from=2026-01-01T00:00:00Z&client_reference=a"),
    ("GET /sms/messages/{message_id}", b"", None, "wait=0"),
    ("GET /sms/messages/{message_id}/events", b"", None, "after=1&limit=5"),
    ("GET /sms/messages/{message_id}/deliveries", b"", None, f"status=pending&{_LIST}dlv_{'0' * 32}"),
    ("POST /sms/messages/{message_id}/cancel", JSON),
    ("DELETE /sms/messages/{message_id}",),
    ("GET /sms/events", b"", None, "after=0&limit=5&types=message.sent,message.delivered&tags=a&wait=0"),
    ("GET /sms/inbound", b"", None, f"from=%2B14155559273&to=%2B15005550006&{_LIST}in_{'0' * 32}"),
    ("GET /sms/inbound", b"", None, "received_from=2026-01-01T00:00:00Z&received_until=2027-01-01T00:00:00%2B02:00"),
    ("GET /sms/inbound/{inbound_id}",),
    ("GET /sms/callbacks/refused", b"", None, f"limit=5&cursor=ref_{'0' * 32}"),
    ("GET /sms/deliveries/{delivery_id}",),
    ("POST /sms/deliveries/{delivery_id}/resend",),
    ("GET /sms/jobs", b"", None, f"state=running&{_LIST}job_{'0' * 32}"),
    ("POST /sms/jobs", JSON, {
        "body": "Hi {{name}}", "rows": [{"to": NUMBER, "name": WORDS}, {"to": "x", "name": None}], "start": False,
        "name": "a job", "tags": ["a"], "on_failure": _PLAN, "allow_duplicates": True,
    }),
    ("POST /sms/jobs", CSV, f"to,name\r\n{NUMBER},{WORDS}\r\n".encode(), "text=Hi+%7B%7Bname%7D%7D&start=false&tags=a"),
    ("POST /sms/jobs", MULTIPART, _multipart(
        body="Hi {{name}}", start="false", on_failure=json.dumps(_PLAN), file=f"to;name\r\n{NUMBER};{WORDS}\r\n"
    )),
    ("GET /sms/jobs/{job_id}",),
    ("GET /sms/jobs/{job_id}/results.csv",),
    ("POST /sms/jobs/{job_id}/start",),
    ("POST /sms/jobs/{job_id}/pause",),
    ("POST /sms/jobs/{job_id}/resume",),
    ("POST /sms/jobs/{job_id}/cancel",),
    ("GET /sms/subscriptions", b"", None, f"{_LIST}sub_{'0' * 32}"),
    ("POST /sms/subscriptions", JSON, {
        "url": "https://example.com/e", "event_types": ["message.sent"], "tags": ["a"], "headers": {"X-A": WORDS},
        "description": WORDS,
    }),
    ("GET /sms/subscriptions/{subscription_id}",),
    ("PATCH /sms/subscriptions/{subscription_id}", JSON, {"tags": None, "enabled": True, "headers": {"X-B": WORDS}}),
    ("DELETE /sms/subscriptions/{other_id}",),
    ("GET /sms/subscriptions/{subscription_id}/deliveries", b"", None, f"status=failed&{_LIST}dlv_{'0' * 32}"),
    ("POST /sms/subscriptions/{subscription_id}/recover", JSON, {"since": "2026-11-20T00:00:00Z"}),
    ("POST /sms/subscriptions/{subscription_id}/rotate", JSON, {"overlap_s": 60}),
    ("POST /sms/subscriptions/{subscription_id}/test", JSON, {"event_type": "message.sent"}),
    ("GET /sms/suppressions", b"", None, f"recipient=%2B14155559273&status=active&source=api&{_LIST}sup_{'0' * 32}"),
    ("POST /sms/suppressions", JSON, {"recipient": "+12025550143", "sender": "+15005550006", "note": WORDS}),
    ("GET /sms/suppressions/export.csv",),
    ("POST /sms/suppressions/import", JSON, {"rows": [{"recipient": "+12025550143", "note": WORDS}]}),
    ("POST /sms/suppressions/import", CSV, f"recipient,note\r\n+12025550143,{WORDS}\r\n".encode()),
    ("GET /sms/suppressions/{suppression_id}",),
    ("POST /sms/suppressions/{suppression_id}/lift", JSON, {"note": WORDS}),
    ("GET /sms/templates", b"", None, "cursor=a&limit=5"),
    ("POST /sms/templates", JSON, {"name": "another", "body": f"Hi {{{{name}}}}, {WORDS}"}),
    ("GET /sms/templates/{template_name}", b"", None, "version=1"),
    ("DELETE /sms/templates/{other_name}",),
    ("GET /sms/templates/{template_name}/versions", b"", None, "cursor=5&limit=5"),
    ("POST /sms/templates/{template_name}/versions", JSON, {"body": f"Hello {{{{name}}}} {WORDS}"}),
]  # fmt: skip
