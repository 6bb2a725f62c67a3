"""What programs need of the API document: names that are unique, and nothing that a generator of clients trips over."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

DOCUMENT: dict[str, Any] = json.loads((Path(__file__).resolve().parents[3] / "openapi.json").read_text())
SCHEMAS = DOCUMENT["components"]["schemas"]
OPERATIONS = {
    f"{method} {path}": operation
    for path, methods in DOCUMENT["paths"].items()
    for method, operation in methods.items()
}

operations = pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)


def parts(part: object, seen: set[str] | None = None) -> Iterator[dict[str, Any]]:
    """Yield every object of a part of the document, and of the schemas that it refers to."""
    seen = set() if seen is None else seen
    if isinstance(part, list):
        for item in part:
            yield from parts(item, seen)
    elif isinstance(part, dict):
        yield part
        name = str(part.get("$ref", "")).removeprefix("#/components/schemas/")
        if name in SCHEMAS and name not in seen:
            seen.add(name)
            yield from parts(SCHEMAS[name], seen)
        for item in part.values():
            yield from parts(item, seen)


def test_each_tag_is_described_once() -> None:
    names = [tag["name"] for tag in DOCUMENT["tags"]]

    assert len(names) == len(set(names))
    assert all(tag["description"] for tag in DOCUMENT["tags"])
    assert {tag for operation in OPERATIONS.values() for tag in operation["tags"]} == set(names)


def test_each_operation_has_an_id_of_its_own() -> None:
    ids = Counter(operation["operationId"] for operation in OPERATIONS.values())

    assert [name for name, count in ids.items() if count > 1] == []


def test_the_document_names_a_server() -> None:
    assert DOCUMENT["servers"]


@operations
def test_each_operation_says_in_a_sentence_what_it_does(operation: dict[str, Any]) -> None:
    assert operation["summary"]
    assert operation["description"].rstrip().endswith(".")


@operations
def test_no_parameter_is_called_like_the_body(operation: dict[str, Any]) -> None:
    """openapi-python-client gives its functions two arguments of that name, and they do not compile."""
    assert "body" not in {parameter.get("name") for parameter in operation.get("parameters", [])}


@operations
def test_no_default_makes_a_member_of_a_request_required(operation: dict[str, Any]) -> None:
    """openapi-typescript takes a member with a default for one that is always there."""
    assert [part for part in parts(operation.get("requestBody")) if "default" in part] == []


@operations
def test_no_upload_has_options_that_a_client_sends_unasked(operation: dict[str, Any]) -> None:
    """openapi-python-client sends defaults along, also with JSON, beside which there may be no options."""
    if len(operation.get("requestBody", {}).get("content", {})) > 1:
        parameters = [parameter for parameter in operation["parameters"] if parameter.get("in") == "query"]
        assert [
            parameter["name"] for parameter in parameters if "default" in parameter.get("schema", {})
        ] == []


@operations
def test_alternatives_forget_no_properties(operation: dict[str, Any]) -> None:
    """openapi-generator makes of an object with `oneOf` or `anyOf` a choice, without the object's own properties."""
    both = [
        part
        for part in parts(operation)
        if "properties" in part and any(word in part for word in ("oneOf", "anyOf"))
    ]
    assert both == []


@operations
def test_no_member_is_of_three_kinds_by_alternatives(operation: dict[str, Any]) -> None:
    """openapi-generator's Python knows no `anyOf` with null among three; a list of types says the same."""
    plain = [part for part in parts(operation) if len(part.get("anyOf", ())) > 2]
    assert [part for part in plain if all(set(kind) == {"type"} for kind in part["anyOf"])] == []


@operations
def test_the_lowest_status_of_success_tells_what_an_operation_is_for(operation: dict[str, Any]) -> None:
    """openapi-generator takes its model for that of all: others of another model must be a range, or come later."""
    documents = {
        status: json.dumps(response.get("content", {}).get("application/json", {}).get("schema"))
        for status, response in operation["responses"].items()
        if status.startswith("2") and status.isdecimal()
    }
    assert len(set(documents.values())) == 1
