"""Spoiled bodies: JSON, forms, CSV and multipart, each with what parsers of its kind stumble over."""

import json
import random
from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from tests.support.fuzz.corpus import NUMBER, WORDS

_RAW_VALUES = [
    "NaN", "Infinity", "-Infinity", "1e999", "-0", "1e-400", "9" * 5000, "1" + "0" * 400, "-9223372036854775809",
    "4294967296", "1.5", "5.0", "true", "null", "{}", "[]", '""', '"\\u0000"', '"\\ud800"', '"\\udc00\\ud800"',
    '"\\ud83d\\ude00"',
    '"\\uffff"', '"a\\nb\\r\\nc"', '" "', '"=1+1"', '"{{name}}{{"', '"\\u202e\\u200b\\ufeff"', '"' + "x" * 2000 + '"',
    '"' + "é" * 20_000 + '"', "[" * 200 + "]" * 200, "[" * 30_000 + "]" * 30_000, "[" * 60_000,
    '{"a":' * 9000 + "1" + "}" * 9000,
    '["a","a"]', "[[]]", "[null]", "[1]", '{"a":1}', '{"":""}', '{"\\u0000":1}', '{"\\ud800":1}',
    f'"{NUMBER}\\u0000"',
    f'"{WORDS}\\ud800"', '"0001-01-01T00:00:00Z"', '"9999-12-31T23:59:59-23:59"', '"2026-02-30T00:00:00Z"',
    '"http://[::1"',
    '"https://example.com:99999/"', '"https://\\u00e4.example/"', '"https://xn--/"', '"https://a..b/"', "'x'",
    "undefined", "01", "+1",
    "\x00", "\\", '"\\x"', '"unclosed', "/*c*/1", "",
]  # fmt: skip
_TEXTS = [
    "", "\x00", "\ufeff", "\ufffd", "ä\U0001f600\uff01", "%", "&=", "\r\n", "a" * 5000, "'\";--", "\x7f\x80",
    "../..", NUMBER,
    f"{NUMBER}\x00", f"whatsapp:{NUMBER}", "-1", "0", "1e9", "99999999999999999999", "²", "٣", "true", "null",
    "msg_" + "f" * 32,
    "sup_" + "0" * 32, "2026-01-01", "0001-01-01T00:00:00+23:59", "=cmd|'/c'!A1", "a,b;c\td", '"', WORDS,
]  # fmt: skip
_CODECS = ["utf-16", "utf-16-le", "utf-32", "utf-8-sig", "utf-7", "cp1252"]


def odd_text(rng: random.Random) -> str:
    """Return a text that somebody's code does not expect."""
    return rng.choice(_TEXTS)


def spoil_json(rng: random.Random, body: bytes) -> bytes:
    """Return a JSON body with one odd value, name or shape, perhaps more, or in another encoding."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return spoil_bytes(rng, body)
    text = _with_odd_value(rng, document)
    if rng.random() < 0.15:
        return text.encode(rng.choice(_CODECS), "replace")
    if rng.random() < 0.1:
        text = rng.choice(
            [text + "x", text * 2, f"\ufeff{text}", text.replace('"', "'"), f"[{text}]", text[:-1] + ",}"]
        )
    raw = text.encode("utf-8", "replace")
    return spoil_bytes(rng, raw) if rng.random() < 0.1 else raw


def _with_odd_value(rng: random.Random, document: Any) -> str:
    """Render the document with a raw value in the place of one of its own."""
    mark = "\ue000MARK\ue000"
    container, key = _place(rng, document)
    if container is None:
        return rng.choice(_RAW_VALUES)
    action = rng.random()
    if action < 0.65:
        container[key] = mark
    elif isinstance(container, dict):
        value = container.pop(key)
        if action < 0.9:
            container[rng.choice([odd_text(rng), f"{key}x", str(key).upper(), "file", "rows"])] = value
    else:
        container.extend(container * rng.choice([1, 30, 400]))
    text = json.dumps(document, ensure_ascii=rng.random() < 0.5)
    if rng.random() < 0.05 and isinstance(container, dict) and container:
        again = json.dumps({rng.choice(list(container)): odd_text(rng)})[1:-1]
        text = text.replace("{", f"{{{again},", 1)
    for shown in (json.dumps(mark), f'"{mark}"'):
        text = text.replace(shown, rng.choice(_RAW_VALUES))
    return text


def _place(rng: random.Random, document: Any) -> tuple[Any, Any]:
    places: list[tuple[Any, Any]] = [(None, None)]
    waiting = [document]
    while waiting:
        each = waiting.pop()
        keys = list(each) if isinstance(each, dict) else range(len(each)) if isinstance(each, list) else []
        for key in keys:
            places.append((each, key))
            waiting.append(each[key])
    return rng.choice(places[1:] or places) if rng.random() < 0.95 else places[0]


def spoil_form(rng: random.Random, form: list[tuple[str, str]]) -> tuple[list[tuple[str, str]], bytes]:
    """Return a form with something odd in it, and the body that says it."""
    changed = list(form)
    at = rng.randrange(len(changed))
    name, value = changed[at]
    actions: list[Callable[[], object]] = [
        lambda: changed.pop(at),
        lambda: changed.append((name, odd_text(rng))),
        lambda: changed.__setitem__(at, (name, odd_text(rng))),
        lambda: changed.__setitem__(at, (odd_text(rng), value)),
        lambda: changed.extend([(odd_text(rng), odd_text(rng)) for _ in range(rng.choice([3, 990, 1100]))]),
        lambda: changed.append(("Body", WORDS * rng.choice([1, 3000]))),
        changed.clear,
    ]
    rng.choice(actions)()
    body = urlencode(changed).encode()
    if rng.random() < 0.3:
        garbage = [b"%", b"%zz", b"%ED%A0%80", b"%FF", b"\xff", b"&&&==", b"=&", b";", b"\x00", b"+%2B"]
        body += rng.choice([b"&", b""]) + rng.choice(garbage)
    return changed, body


def spoil_csv(rng: random.Random, body: bytes) -> bytes:
    """Return a CSV file as no spreadsheet writes it."""
    text = body.decode("utf-8", "replace")
    cell = odd_text(rng)
    made = rng.choice(
        [
            text.replace(",", rng.choice([";", "\t", "|", ",,", '","', "\x00"])),
            text + f'{NUMBER},"{cell}\r\n' * rng.choice([1, 50]),
            text + f"{cell},{cell},{cell}\r\n",
            text.replace("\r\n", rng.choice(["\n", "\r", "\n\n", "\u2028"])),
            f"sep={rng.choice(',;|x')}\r\n{text}",
            f"{cell},{text}",
            text.replace("to", "to,to"),
            "\ufeff" + text,
            text * 100,
            ",".join(f"c{n}" for n in range(300)) + "\r\n" + text,
            text + NUMBER + "," + "x" * 20_000,
        ]
    )
    raw = made.encode(rng.choice(["utf-8", "utf-8", *_CODECS]), "replace")
    return spoil_bytes(rng, raw) if rng.random() < 0.2 else raw


def spoil_multipart(rng: random.Random, body: bytes) -> bytes:
    """Return a form with files whose parts are odd."""
    return rng.choice(
        [
            body.replace(b"--\r\n", rng.choice([b"", b"-\r\n", b"\r\n"])),
            body.replace(b"utf-8", rng.choice([b'"\x00"', b"utf-16", b"idna", b"\xff", b"", b'"\\""', b'"'])),
            body.replace(b'name="', rng.choice([b"name=", b'name="\x00', b"name*=utf-8''%ff\"", b'nom="', b"\xff"])),
            body.replace(b'filename="f.csv"', rng.choice([b'filename=""', b'filename="../\x00"', b"filename", b""])),
            body.replace(b"\r\n", b"\n"),
            body.replace(b'"body"', b'"' + odd_text(rng).encode("utf-8", "replace") + b'"'),
            body.replace(b"\r\n\r\n", b"\r\nContent-Transfer-Encoding: base64\r\n\r\n"),
            body.replace(b"{", rng.choice([b"[" * 20_000, b"\xff", b"\x00", b'{"a":' * 9000])),
            body * 40,
            spoil_bytes(rng, body),
        ]
    )  # fmt: skip


def spoil_bytes(rng: random.Random, raw: bytes) -> bytes:
    """Return bytes with some flipped, cut out, repeated or inserted."""
    made = bytearray(raw)
    for _ in range(rng.choice([1, 1, 1, 2, 5])):
        at = rng.randrange(len(made) + 1)
        action = rng.randrange(5)
        if action == 0 and at < len(made):
            made[at] ^= 1 << rng.randrange(8)
        elif action == 1:
            del made[at : at + rng.choice([1, 1, 5, 50])]
        elif action == 2:
            made[at:at] = rng.choice(
                [b"\x00", b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"%", b"\xff", b"\xc3", b"\r\n\r\n"]
            )
        elif action == 3:
            made[at:at] = made[at : at + rng.choice([1, 10, 100])]
        else:
            made[at:at] = rng.randbytes(rng.choice([1, 3, 20]))
    return bytes(made)
