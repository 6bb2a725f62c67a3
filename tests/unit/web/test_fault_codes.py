"""Every code of a faulty part that the service can answer stands in the API document, and no other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import smsapp
from smsapp.recipients.phone import NUMBER_REFUSED
from smsapp.templates.rules import FILLING_FAULTS, TEMPLATE_FAULTS
from smsapp.web.inputs import CODES, FALLBACKS
from smsapp.web.schemas import FAULT_CODES, ProblemFault

PLACE_OF_CODE = {"Fault": 1, "TimeFault": 1, "UnreadableUpload": 0}


def literal_codes(tree: ast.AST) -> Iterator[str]:
    """Yield the codes that are written where a fault is made."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in PLACE_OF_CODE:
            place = PLACE_OF_CODE[node.func.id]
            if len(node.args) > place and isinstance(code := node.args[place], ast.Constant):
                yield code.value


def test_the_document_names_the_codes_that_there_are() -> None:
    written = {
        code
        for path in Path(smsapp.__file__).parent.rglob("*.py")
        for code in literal_codes(ast.parse(path.read_text("utf-8")))
    }

    assert len(written) > 15  # the walk finds them
    tables = {*CODES.values(), *FALLBACKS, *TEMPLATE_FAULTS, *FILLING_FAULTS, NUMBER_REFUSED}
    assert set(FAULT_CODES) == written | tables
    described = ProblemFault.model_json_schema()["properties"]["code"]["description"]
    assert all(f"`{code}`" in described for code in FAULT_CODES)
