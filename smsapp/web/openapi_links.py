"""Links of the API document: which value in a response is a parameter of which operations.

Programs that follow links (generated clients, tests that generate requests) get from what they created to the
operations on it.
"""

import re
from collections import defaultdict
from collections.abc import Iterator

from smsapp.web.openapi_parts import Document

_NAMED = re.compile(r"{(\w+)}")
_SUPPLIES: dict[str, dict[str, dict[str, str]]] = {
    "sendMessage": {"202": {"message_id": "/id"}},
    "createJob": {"201": {"job_id": "/id"}},
    "startJob": {"200": {"job_id": "/id"}},
    "pauseJob": {"200": {"job_id": "/id"}},
    "createTemplate": {"201": {"template_name": "/name"}},
    "listInboundMessages": {"200": {"inbound_id": "/data/0/id"}},
    "addSuppression": {"200": {"suppression_id": "/id"}, "201": {"suppression_id": "/id"}},
    "createSubscription": {"201": {"subscription_id": "/id"}},
    "sendExample": {"202": {"delivery_id": "/id"}},
}
"""By operation and status: where the response holds a path parameter of other operations."""


def add_links(paths: Document) -> None:
    """Add to each response that holds an id the operations that take such an id."""
    takers = _takers(paths)
    for _, operation in _operations(paths):
        for status, supplies in _SUPPLIES.get(operation["operationId"], {}).items():
            operation["responses"][status]["links"] = {
                taker: {
                    "operationId": taker,
                    "parameters": {parameter: f"$response.body#{pointer}"},
                }
                for parameter, pointer in supplies.items()
                for taker in takers[parameter]
            }


def _takers(paths: Document) -> dict[str, list[str]]:
    """Return the operations by their path parameter."""
    found = defaultdict(list)
    for path, operation in _operations(paths):
        for parameter in _NAMED.findall(path):
            found[parameter].append(operation["operationId"])
    return found


def _operations(paths: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in paths.items():
        for operation in methods.values():
            yield path, operation
