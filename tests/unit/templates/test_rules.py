"""Texts with placeholders."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsapp.templates.rules import MalformedTemplate, MissingValue, parse_template
from smsapp.text import is_blank


def test_placeholders_are_filled_in() -> None:
    template = parse_template("Hi {{name}}, order {{ order no. }} is here, {{name}}!")

    assert template.placeholders == ("name", "order no.")
    assert template.render({"name": "Ann", "order no.": "7", "more": "x"}) == "Hi Ann, order 7 is here, Ann!"


def test_a_text_without_placeholders_is_a_template() -> None:
    assert parse_template("Just {this}").render({}) == "Just {this}"


@pytest.mark.parametrize("value", [None, "", "  ", "\n"])
def test_missing_and_blank_values_are_named(value: str | None) -> None:
    template = parse_template("{{a}} and {{b}}, {{c}}, {{b}}")

    with pytest.raises(MissingValue) as caught:
        template.render({"a": "x"} | ({"b": value} if value is not None else {}))
    assert caught.value.names == ("b", "c")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Hi {{name", "lone_braces"),
        ("Hi name}}", "lone_braces"),
        ("Hi {{}}", "bad_placeholder"),
        ("Hi {{ }}", "bad_placeholder"),
        ("Hi {{a{b}}", "bad_placeholder"),
        ("Hi {{" + "x" * 65 + "}}", "bad_placeholder"),
        ("Hi {{-x}}", "bad_placeholder"),
        ("Hi {{name|upper}}", "bad_placeholder"),  # P06
        ("Hi {{{name}}}", "bad_placeholder"),
    ],
)
def test_what_is_no_placeholder_is_refused(text: str, reason: str) -> None:
    with pytest.raises(MalformedTemplate) as caught:
        parse_template(text)
    assert caught.value.reason == reason


@given(st.text(min_size=1).filter(lambda text: not is_blank(text)))  # a blank is a value that is missing
def test_a_value_is_put_in_as_it_is_and_never_read_as_a_template(value: str) -> None:
    assert parse_template("<{{x}}>").render({"x": value}) == f"<{value}>"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("{{First\u00a0name}}", "First name"),
        ("{{\u200bname\u2060}}", "name"),
        ("{{pre\u0301nom}}", "pr\u00e9nom"),
        ("{{ First \u202f name }}", "First name"),
    ],
)
def test_names_that_look_the_same_are_the_same(text: str, name: str) -> None:
    template = parse_template(text)

    assert template.placeholders == (name,)
    assert template.render({name: "Ann"}) == "Ann"


def test_a_value_that_nobody_can_see_is_none() -> None:
    with pytest.raises(MissingValue):
        parse_template("{{name}}").render({"name": "\u200b \u00a0"})
