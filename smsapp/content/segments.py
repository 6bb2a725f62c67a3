"""How many SMS segments a text takes, in which encoding, and where it is split.

Twilio bills by segment and decides the encoding from the text, so a single curly quote can more than double
the price. Callers want to know before they send; Twilio's own `num_segments` comes later and wins.

Sources: 3GPP TS 23.038 §6.2.1 (alphabet, extension table) and TS 23.040 §9.2.3.24.1 (concatenation header);
https://www.twilio.com/docs/glossary/what-sms-character-limit (160/153 and 70/67).
"""

import re
from dataclasses import dataclass
from enum import StrEnum


class Encoding(StrEnum):
    """How the text is encoded, in Twilio's terms."""

    GSM_7 = "GSM-7"
    UCS_2 = "UCS-2"


# TS 23.038 §6.2.1, the table in reading order; 0x1B is the escape itself and stands for no character.
_GSM_BASIC = (
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?"
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà"
)
# TS 23.038 §6.2.1.1, the extension table: each is sent as the escape septet and one more.
_GSM_EXTENSION = "\f^{}\\[~]|€"

_NOT_GSM = re.compile(f"[^{re.escape(_GSM_BASIC + _GSM_EXTENSION)}]")
_TWO_UNITS = {
    Encoding.GSM_7: re.compile(f"[{re.escape(_GSM_EXTENSION)}]"),
    Encoding.UCS_2: re.compile("[^\u0000-\uffff]"),  # beyond the BMP: a surrogate pair
}
# Capacity of a single segment of 140 bytes, and of each of several, which lose 6 bytes to the concatenation header.
_ROOM = {Encoding.GSM_7: (160, 153), Encoding.UCS_2: (70, 67)}


@dataclass(frozen=True, slots=True)
class Measure:
    """What a text costs in segments and what makes it so."""

    encoding: Encoding
    segments: int  # at least 1: an empty SMS is still one SMS
    units: int  # septets in GSM-7, UTF-16 code units in UCS-2; without concatenation headers
    units_per_segment: int  # room in each segment: 160 or 153, 70 or 67
    splits: tuple[int, ...]  # index in the body where each segment after the first begins
    offenders: tuple[str, ...]  # distinct characters that force UCS-2, in order of first appearance
    remaining: int  # units still free in the last segment


def measure(body: str) -> Measure:
    """Return how the body is encoded and split, counted by packing whole characters.

    Division would be wrong: an escaped GSM character or a surrogate pair that does not fit moves to the next
    segment whole and leaves a gap. Where Smart Encoding is on, Twilio's own count may be lower.
    """
    offenders = tuple(dict.fromkeys(_NOT_GSM.findall(body)))
    encoding = Encoding.UCS_2 if offenders else Encoding.GSM_7
    single, part = _ROOM[encoding]
    wide = {match.start() for match in _TWO_UNITS[encoding].finditer(body)}
    units = len(body) + len(wide)
    if units <= single:
        return Measure(encoding, 1, units, single, (), offenders, single - units)
    splits = _pack(body, wide, part) if wide else tuple(range(part, len(body), part))
    last_part = range(splits[-1], len(body))
    used = len(last_part) + sum(index in last_part for index in wide)
    return Measure(encoding, len(splits) + 1, units, part, splits, offenders, part - used)


@dataclass(frozen=True, slots=True)
class Offender:
    """A character that forces UCS-2, and its positions in the text, counted in characters from 0."""

    character: str
    positions: tuple[int, ...]


def find_offenders(body: str) -> list[Offender]:
    """Return the characters that are not in the GSM alphabet, in order of first appearance."""
    positions: dict[str, list[int]] = {}
    for match in _NOT_GSM.finditer(body):
        positions.setdefault(match[0], []).append(match.start())
    return [Offender(character, tuple(places)) for character, places in positions.items()]


def _pack(body: str, wide: set[int], room: int) -> tuple[int, ...]:
    """Fill segments greedily and return where each one after the first begins."""
    splits: list[int] = []
    used = 0
    for index in range(len(body)):
        cost = 2 if index in wide else 1
        if used + cost > room:
            splits.append(index)
            used = 0
        used += cost
    return tuple(splits)


MAX_BODY_CHARS = 1600
"""Twilio's limit before segmentation; a longer one is refused with code 21617."""
