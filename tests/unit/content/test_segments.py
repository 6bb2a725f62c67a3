"""Segments against known vectors and against the properties that any correct packing has."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smsapp.content.segments import Encoding, Measure, find_offenders, measure

# Written out from 3GPP TS 23.038 by code point, independently of the table under test.
GSM_BASIC = {chr(code) for code in (*range(0x20, 0x60), *range(0x61, 0x7B))} - set("[\\]^")
GSM_BASIC |= set(
    bytes.fromhex(
        "000A 000D 00A1 00A3 00A4 00A5 00A7 00BF 00C4 00C5 00C6 00C7 00C9 00D1 00D6 00D8 00DC 00DF 00E0 00E4"
        "00E5 00E6 00E8 00E9 00EC 00F1 00F2 00F6 00F8 00F9 00FC 0393 0394 0398 039B 039E 03A0 03A3 03A6 03A8"
        "03A9"
    ).decode("utf-16-be")
)
GSM_EXTENSION = set("\f^{}\\[~]|€")

EMOJI = "\U0001f600"  # outside the BMP: two code units
CJK = "\u4f60"  # one code unit, not in GSM-7

gsm_text = st.text(st.sampled_from(sorted(GSM_BASIC | GSM_EXTENSION)), max_size=700)
any_text = st.text(st.sampled_from(["a", "€", "é", CJK, EMOJI]), max_size=400) | st.text(max_size=400)


def parts_of(body: str, found: Measure) -> list[str]:
    return [body[start:end] for start, end in pairwise((0, *found.splits, len(body)))]


def cost(text: str, encoding: Encoding) -> int:
    if encoding is Encoding.UCS_2:
        return len(text.encode("utf-16-be", "surrogatepass")) // 2
    return sum(2 if character in GSM_EXTENSION else 1 for character in text)


def test_the_basic_alphabet_has_the_127_characters_of_the_standard() -> None:
    assert len(GSM_BASIC) == 127  # 128 septets less the escape


@pytest.mark.parametrize("character", sorted(GSM_BASIC))
def test_a_basic_character_takes_one_septet(character: str) -> None:
    assert measure(character) == Measure(Encoding.GSM_7, 1, 1, 160, (), (), 159)


@pytest.mark.parametrize("character", sorted(GSM_EXTENSION))
def test_an_extension_character_takes_two_septets(character: str) -> None:
    assert measure(character) == Measure(Encoding.GSM_7, 1, 2, 160, (), (), 158)


@pytest.mark.parametrize("character", ["`", "\t", "\x1b", "ç", "á", "\u00a0", "\u2019", "\u2013", CJK])
def test_a_character_outside_the_alphabet_forces_ucs_2(character: str) -> None:
    assert measure(character) == Measure(Encoding.UCS_2, 1, 1, 70, (), (character,), 69)


@pytest.mark.parametrize(
    ("body", "encoding", "segments", "units", "splits", "remaining"),
    [
        pytest.param("", "GSM-7", 1, 0, (), 160, id="an empty SMS is one SMS"),
        pytest.param("a" * 160, "GSM-7", 1, 160, (), 0, id="160 fill one segment"),
        pytest.param("a" * 161, "GSM-7", 2, 161, (153,), 145, id="161 need the header twice"),
        pytest.param("a" * 306, "GSM-7", 2, 306, (153,), 0, id="two full parts"),
        pytest.param("a" * 307, "GSM-7", 3, 307, (153, 306), 152, id="one more than two parts"),
        pytest.param(
            "a" * 1600, "GSM-7", 11, 1600, tuple(range(153, 1600, 153)), 83, id="1600, Twilio's limit"
        ),
        pytest.param("€" * 80, "GSM-7", 1, 160, (), 0, id="80 euros fill one segment"),
        pytest.param("a" * 159 + "€", "GSM-7", 2, 161, (153,), 145, id="a euro that no longer fits"),
        pytest.param("a" * 152 + "€" + "a" * 10, "GSM-7", 2, 164, (152,), 141, id="an escape stays whole"),
        pytest.param("a" * 151 + "€" + "a" * 10, "GSM-7", 2, 163, (152,), 143, id="a euro that just fits"),
        pytest.param("€" * 153, "GSM-7", 3, 306, (76, 152), 151, id="gaps cost a third segment"),
        pytest.param(CJK * 70, "UCS-2", 1, 70, (), 0, id="70 fill one segment"),
        pytest.param(CJK * 71, "UCS-2", 2, 71, (67,), 63, id="71 need the header twice"),
        pytest.param(CJK * 134, "UCS-2", 2, 134, (67,), 0, id="two full UCS-2 parts"),
        pytest.param(CJK * 1600, "UCS-2", 24, 1600, tuple(range(67, 1600, 67)), 8, id="1600 in UCS-2"),
        pytest.param(EMOJI * 35, "UCS-2", 1, 70, (), 0, id="35 emoji fill one segment"),
        pytest.param(CJK * 66 + EMOJI + CJK * 5, "UCS-2", 2, 73, (66,), 60, id="a pair stays whole"),
        pytest.param(EMOJI * 67, "UCS-2", 3, 134, (33, 66), 65, id="gaps cost a third UCS-2 segment"),
        pytest.param("€" + CJK, "UCS-2", 1, 2, (), 68, id="in UCS-2 a euro takes one unit"),
    ],
)
def test_a_known_text_is_cut_where_the_standard_cuts_it(
    body: str, encoding: str, segments: int, units: int, splits: tuple[int, ...], remaining: int
) -> None:
    found = measure(body)

    assert (found.encoding, found.segments, found.units) == (encoding, segments, units)
    assert (found.splits, found.remaining) == (splits, remaining)


def test_offenders_are_named_once_in_order_of_appearance() -> None:
    found = measure(f"a{EMOJI}b\u2019c{EMOJI}d\u2019€")

    assert found.offenders == (EMOJI, "\u2019")


@given(gsm_text)
def test_a_text_of_the_gsm_alphabet_stays_gsm(body: str) -> None:
    found = measure(body)

    assert found.encoding is Encoding.GSM_7
    assert found.offenders == ()


@given(any_text)
def test_the_offenders_are_exactly_the_characters_outside_the_alphabet(body: str) -> None:
    outside = [character for character in body if character not in GSM_BASIC | GSM_EXTENSION]

    assert list(measure(body).offenders) == list(dict.fromkeys(outside))


@given(any_text | gsm_text)
@example("\ud800" * 71)  # a lone surrogate cannot be sent, but must not break the counter
def test_the_parts_make_up_the_body_and_none_is_over_full(body: str) -> None:
    found = measure(body)
    parts = parts_of(body, found)

    assert "".join(parts) == body
    assert len(parts) == found.segments
    assert all(cost(part, found.encoding) <= found.units_per_segment for part in parts)
    assert sum(cost(part, found.encoding) for part in parts) == found.units
    assert found.remaining == found.units_per_segment - cost(parts[-1], found.encoding)


@given(any_text | gsm_text)
def test_every_part_is_filled_as_far_as_whole_characters_allow(body: str) -> None:
    found = measure(body)

    for part, following in pairwise(parts_of(body, found)):
        assert cost(part + following[0], found.encoding) > found.units_per_segment


@given(any_text | gsm_text)
def test_a_text_is_split_only_when_one_segment_cannot_hold_it(body: str) -> None:
    found = measure(body)
    single = 160 if found.encoding is Encoding.GSM_7 else 70

    assert (found.segments == 1) == (found.units <= single) == (found.units_per_segment == single)


def test_offenders_are_named_with_every_place() -> None:
    found = find_offenders("It\u2019s 5 €, isn\u2019t it? 😀")

    assert [(o.character, o.positions) for o in found] == [("\u2019", (2, 13)), ("😀", (20,))]


@given(st.text())
def test_each_offender_stands_where_it_is_said_to(body: str) -> None:
    found = find_offenders(body)

    assert tuple(offender.character for offender in found) == measure(body).offenders
    for offender in found:
        assert [i for i, character in enumerate(body) if character == offender.character] == list(
            offender.positions
        )
