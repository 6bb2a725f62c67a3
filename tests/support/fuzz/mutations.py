"""Spoiled requests: targets, methods, header fields, framing and bytes."""

import random
import re
from collections.abc import Callable
from dataclasses import replace
from urllib.parse import quote

from tests.support.fuzz import bodies
from tests.support.fuzz.corpus import FORM, NUMBER, WORDS, Names, Request, form_of, signed

_PATH_TAILS = [
    b"%00", b"%0d%0aX-Injected:%201", b"%zz", b"%", b"%ff", b"%ED%A0%80", b"%2e%2e%2f", b"/../", b"//", b"/",
    b";a=b", b"%2F",
    b"\xc3\xa4", b"\x00", b"x" * 300, b"x" * 7000, b"x" * 9000, b"%F0%9F%98%80", b"{}", b"+14155559273", b"\\",
    b'"<>', b"#part",
    b"%20", b"msg_" + b"0" * 32, b"%D9%A3",
]  # fmt: skip
_METHODS = [
    b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"PATCH", b"OPTIONS", b"TRACE", b"CONNECT", b"PROPFIND", b"post",
    b"P", b"",
    b"+14155559273", b"QUOKKA", b"POST\t", b" POST", b"X" * 30, b"G\xc3T", b"GE\x00T", b"PRI",
]  # fmt: skip
_VERSIONS = [
    b"HTTP/1.0",
    b"HTTP/0.9",
    b"HTTP/2.0",
    b"HTTP/1.2",
    b"HTTP/1.10",
    b"http/1.1",
    b"HTTP/1.1 ",
    b"",
    b"HTTP/1.1 x",
    b"SIP/2.0",
]
_VALUES = [
    b"", b" ", b"\xff\xfe", b"\xc3\xa4", b"x" * 3000, b"x" * 9000, b"\x00", b"a\r b", b"a\nb", b"\x7f", b"\x1b[31m",
    b'"', b",", b";=",
    b"=?utf-8?q?x?=", b"a\r\n folded", b"a\r\nX-Injected: 1", NUMBER.encode(), WORDS.encode(), b"*", b"0", b"-1",
    b"99999999999999999999",
    b"\xc2\xb2", b"NaN", b"{}", b"%00",
]  # fmt: skip
_TYPES = [
    b"APPLICATION/JSON", b"application/json; charset=utf-16", b'application/json; charset="utf-8"',
    b"application/json;charset=\xff",
    b"application/vnd.api+json", b"text/json", b"text/csv; charset=utf-16", b'Text/CSV; charset="windows-1252"',
    b"text/csv; charset=idna",
    b"text/csv;charset=zip", b"text/csv; charset*=utf-8''utf-8", b"multipart/form-data",
    b"multipart/form-data; boundary=",
    b'multipart/form-data; boundary="\xff"', b"multipart/form-data; boundary=" + b"b" * 300,
    b"multipart/mixed; boundary=x",
    FORM.upper(), FORM + b"; charset=iso-8859-1", b"application/x-www-form-urlencodedx", b"text/plain", b"/",
    b"json", b";;;", b"", b"a/b/c",
]  # fmt: skip
_FIELDS = [
    b"Accept", b"Accept-Charset", b"Accept-Encoding", b"Accept-Language", b"Cookie", b"Range", b"If-None-Match",
    b"If-Modified-Since",
    b"Host", b"Content-Type", b"Content-Encoding", b"Content-MD5", b"Authorization", b"Idempotency-Key",
    b"X-Twilio-Signature",
    b"I-Twilio-Idempotency-Token", b"Last-Event-ID", b"User-Agent", b"Referer", b"Origin", b"X-Forwarded-For",
    b"X-Forwarded-Proto",
    b"X-Forwarded-Host", b"X-Forwarded-Prefix", b"Forwarded", b"Script-Name", b"SCRIPT_NAME", b"PATH_INFO",
    b"X_Under", b"Proxy",
    b"X-HTTP-Method-Override", b"Connection", b"Keep-Alive", b"Upgrade", b"HTTP2-Settings", b"Trailer", b"Expect",
    b"TE", b"Date",  # codespell:ignore
    b"Transfer-Encoding", b"Content-Length", b"Max-Forwards", b"X-Quokka",
]  # fmt: skip
_AUTHORIZATIONS = [
    b"Bearer", b"Bearer ", b"bearer %s", b"Bearer  %s", b"Bearer %s x", b"Basic %s", b"Basic YTpi", b"Basic \xff",
    b"Bearer \xff\xfe",
    b"Bearer %s\xff", b"%s", b'Digest username="%s"', b"Token %s", b"Bearer " + b"k" * 5000, b"Bearer ,%s",
    b"Bearer %s,",
]  # fmt: skip
_LENGTHS = [
    b"+5", b"-1", b"5, 5", b"0x5", b"5.0", b"", b" ", b"\xc2\xb2", b"\xb2", b"0", b"007", b"99999999999999999999",
    b"9" * 5000, b"65537",
    b"1_0", b"5 5",
]  # fmt: skip
_CODINGS = [
    b"Chunked", b"identity", b"gzip, chunked", b"chunked, gzip", b"chunked, chunked", b"xchunked", b"gzip", b"",
    b"chunked;q=1", b"\xff",
    b",chunked", b"quokka-canary-words", b"identity, chunked",
]  # fmt: skip
_EXPECTATIONS = [b"100-continue", b"100-Continue", b"200-ok", b"", WORDS.encode()]
_CONNECTIONS = [b"close", b"Close", b"keep-alive, upgrade", b"upgrade", b"keep-alive, close", b"", b"x"]
_UPGRADES = [b"h2c", b"websocket", b"HTTP/2.0", b"TLS/1.0, HTTP/1.1"]

_LARGE = 20_000
"""Bytes. What is larger was made so by a mutation before: another one would multiply it into gigabytes."""

Mutation = Callable[[random.Random, Request, Names], Request]


def mutate(rng: random.Random, seeds: list[Request], names: Names) -> bytes:
    """Return one request, or several in a pipeline, of which at least one is spoiled in most cases."""
    made = _spoiled(rng, rng.choice(seeds), names)
    while rng.random() < 0.15:
        other = rng.choice(seeds)
        made = rng.choice([made + other.render(), other.render() + made, made + _spoiled(rng, other, names)])
    if rng.random() < 0.08:
        made = made[: rng.randrange(1, len(made) + 1)]
    return made


def _spoiled(rng: random.Random, seed: Request, names: Names) -> bytes:
    request = seed
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 2, 3])):
        request = rng.choice(_MUTATIONS)(rng, request, names)
    raw = request.render()
    if rng.random() < 0.12:
        return bodies.spoil_bytes(rng, raw)
    if rng.random() < 0.02:
        return raw.replace(b"\r\n", b"\n")
    return rng.choice([b"\r\n", b"\r\n\r\n", b" ", b"\x16\x03\x01"]) + raw if rng.random() < 0.01 else raw


def _target_form(rng: random.Random, request: Request, _names: Names) -> Request:
    target = request.target
    host = rng.choice(
        [
            b"any.example",
            b"[::1]:80",
            b"u:p@h",
            b"[::1",
            b"",
            b"h:x",
            b"\xff",
            b"h" * 300,
            b"h:99999",
            b"a%20b",
        ]
    )
    scheme = rng.choice([b"http", b"HTTPS", b"ftp", b"", b"javascript", b"h\xc3"])
    forms = [scheme + b"://" + host + target] * 4
    forms += [
        b"*",
        target[1:],
        b"any.example:443",
        b"//" + host + target,
        b"?x=1",
        b"",
        target + b"#" + target,
        b"http:" + target,
        host,
    ]
    return replace(request, target=rng.choice(forms))


def _path(rng: random.Random, request: Request, _names: Names) -> Request:
    path, question, query = request.target.partition(b"?")
    parts = path.split(b"/")
    at = rng.randrange(1, len(parts)) if len(parts) > 1 else 0
    tail = rng.choice(_PATH_TAILS)
    parts[at] = rng.choice(
        [tail, parts[at] + tail, parts[at][: len(parts[at]) // 2] + tail, parts[at].upper()]
    )
    return replace(request, target=b"/".join(parts) + question + query)


def _query(rng: random.Random, request: Request, _names: Names) -> Request:
    path, _, query = request.target.partition(b"?")
    pairs = query.split(b"&") if query else [b"limit=1"]
    at = rng.randrange(len(pairs))
    name = pairs[at].partition(b"=")[0]
    odd = quote(bodies.odd_text(rng), safe=rng.choice(["", "+:,;=&%"])).encode()
    raw = rng.choice([odd, odd, odd, b"%", b"%zz", b"%ff", b"%ED%A0%80", b"\xff", b"+", b"x" * 7000, b"%00"])
    unknown = rng.choice(
        [
            b"_external",
            b"_scheme",
            b"_anchor",
            b"_method",
            b"endpoint",
            b"self",
            b"url",
            b"%00",
            b"",
            b"%ff",
            b"[]",
            odd,
        ]
    )
    pairs[at] = rng.choice(
        [name + b"=" + raw, name + b"=" + raw, name, pairs[at] + b"&" + pairs[at], unknown + b"=" + raw]
    )
    if rng.random() < 0.05:
        pairs *= rng.choice([3, 200])
    return replace(request, target=path + b"?" + b"&".join(pairs))


def _method(rng: random.Random, request: Request, _names: Names) -> Request:
    return replace(request, method=rng.choice(_METHODS))


def _version(rng: random.Random, request: Request, _names: Names) -> Request:
    return replace(request, version=rng.choice(_VERSIONS))


def _field(rng: random.Random, request: Request, _names: Names) -> Request:
    name = rng.choice(_FIELDS)
    return replace(request, fields=(*request.fields, (name, _value_of(rng, name))))


def _value_of(rng: random.Random, name: bytes) -> bytes:
    known = {
        b"Content-Type": _TYPES, b"Transfer-Encoding": _CODINGS, b"Content-Length": _LENGTHS,
        b"Expect": _EXPECTATIONS,
        b"Connection": _CONNECTIONS, b"Upgrade": _UPGRADES,
    }  # fmt: skip
    return rng.choice(known[name] if name in known and rng.random() < 0.8 else _VALUES)


def _replaced_field(rng: random.Random, request: Request, _names: Names) -> Request:
    name = rng.choice(request.fields)[0] if request.fields else b"Host"
    return request.having(name, _value_of(rng, name))


def _odd_field(rng: random.Random, request: Request, names: Names) -> Request:
    fields = list(request.fields) or [(b"Host", b"x")]
    at = rng.randrange(len(fields))
    name, value = fields[at]
    fields[at] = rng.choice(
        [
            (name.upper(), value), (name.lower(), value), (name.swapcase(), b"\t " + value + b" \t"),
            (name + b" ", value),
            (b" " + name, value), (name + b"\x00", value), (b"", value), (name.replace(b"-", b"_"), value),
            (b"(" + name + b")", value),
            (name, value + b"\r\n\t" + value), (names.key.encode(), value), (NUMBER.encode(), value),
            (name, value.upper()),
            (name, value + b"\r\n" + names.key.encode()), (name + b"\r\nX-Quokka " + WORDS.encode(), value),
        ]
    )  # fmt: skip
    if rng.random() < 0.1:
        fields += [fields[at]] * rng.choice([1, 99, 200])
    if rng.random() < 0.1:
        fields.pop(rng.randrange(len(fields)))
    return replace(request, fields=tuple(fields))


def _authorization(rng: random.Random, request: Request, names: Names) -> Request:
    return request.having(b"Authorization", rng.choice(_AUTHORIZATIONS).replace(b"%s", names.key.encode()))


def _content_type(rng: random.Random, request: Request, _names: Names) -> Request:
    return request.having(b"Content-Type", rng.choice(_TYPES))


def _idempotency(rng: random.Random, request: Request, _names: Names) -> Request:
    keys = [
        b"once",
        b"",
        b"k" * 255,
        b"k" * 256,
        b"\xff",
        b"\xc3\xa4",
        b"a\tb",
        WORDS.encode(),
        b'"quoted"',
        b"a,b",
    ]
    return request.having(b"Idempotency-Key", rng.choice(keys))


def _chunked(rng: random.Random, request: Request, _names: Names) -> Request:
    size = rng.choice([1, 7, 100, 10_000]) if len(request.body) < 20_000 else 10_000
    pieces = [request.body[at : at + size] for at in range(0, len(request.body), size)]
    extension = rng.choice([b"", b"", b";a=b", b';a="b"', b" ", b";\xff", b";a\rb"])
    body = b"".join(b"%x%s\r\n%s\r\n" % (len(piece), extension, piece) for piece in pieces)
    ends = [b"0\r\n\r\n"] * 4 + [
        b"", b"0\r\n", b"0\r\nX-Trailer: 1\r\n\r\n", b"0\r\nHost: x\r\n\r\n",
        b"0\r\nX " + WORDS.encode() + b"\r\n\r\n", b"zz\r\n\r\n",
        b"-1\r\n\r\n", b"0x1\r\nx\r\n0\r\n\r\n", b"ffffffffffffffffff\r\nx", b"\r\n\r\n", WORDS.encode() + b"\r\n",
        b"5\r\n" + WORDS.encode(),
    ]  # fmt: skip
    made = replace(request, body=body + rng.choice(ends), framed=True).having(
        b"Transfer-Encoding", b"chunked"
    )
    return made.having(b"Transfer-Encoding", rng.choice(_CODINGS)) if rng.random() < 0.15 else made


def _length(rng: random.Random, request: Request, _names: Names) -> Request:
    size = len(request.body)
    lengths = [b"%d" % (size + 1), b"%d" % max(0, size - 3), b"%d" % (size + 100_000), *_LENGTHS]
    made = replace(request, framed=True)
    return replace(made, fields=(*made.fields, (b"Content-Length", rng.choice(lengths))))


def _body(rng: random.Random, request: Request, names: Names) -> Request:
    if len(request.body) > _LARGE:
        return request
    kind, form = request.field(b"Content-Type"), form_of(request)
    if form and not request.framed:
        form, body = bodies.spoil_form(rng, form)
        made = signed(request, names, form)
        return made if rng.random() < 0.7 else replace(made, body=body)
    if b"csv" in kind.lower():
        return replace(request, body=bodies.spoil_csv(rng, request.body))
    if b"multipart" in kind:
        return replace(request, body=bodies.spoil_multipart(rng, request.body))
    return replace(request, body=bodies.spoil_json(rng, request.body or b"{}"))


def _large(rng: random.Random, request: Request, _names: Names) -> Request:
    return replace(
        request,
        body=request.body
        + rng.choice([b" ", b"\x00", b"a", b"&a=1", b"\r\n"]) * rng.choice([5000, 66_000, 200_000]),
    )


def _resigned(_rng: random.Random, request: Request, names: Names) -> Request:
    """Sign a callback for the address that it has by now, as Twilio would if we had named that one."""
    form = form_of(request)
    if form is None or request.framed or not re.match(rb"/[\x21-\x7e]*$", request.target):
        return request
    return signed(request, names, form)


_MUTATIONS: list[Mutation] = [
    _target_form, _path, _path, _query, _query, _method, _version, _field, _field, _replaced_field, _odd_field,
    _authorization,
    _content_type, _idempotency, _chunked, _chunked, _length, _body, _body, _body, _body, _body, _large, _resigned,
]  # fmt: skip
