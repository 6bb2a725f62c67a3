"""The web application in a test: real ports, its test client, and everything closed afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, ClassVar
from unittest.mock import patch

from apiflask import APIFlask
from flask.testing import FlaskClient
from werkzeug.routing import Rule
from werkzeug.test import TestResponse

from smsapp.app import create_app
from smsapp.config import Settings
from smsapp.ids import parse_public_id
from smsapp.messages import reads
from smsapp.messages.models import Message
from smsapp.news.desk import NewsDesk
from smsapp.refusals.note import RefusedCallbacks
from smsapp.runtime import Runtime
from smsapp.web.schemas import FAULT_CODES, Problem
from smsapp.web.wiring import provided

TO = "+14155552671"


@dataclass(frozen=True, slots=True)
class Api:
    """The application and a caller's key."""

    app: APIFlask
    key: str

    @property
    def rt(self) -> Runtime:
        """The application's own ports."""
        return provided(Runtime, self.app)

    @property
    def worker_rt(self) -> Runtime:
        """The same for a worker's task, which does not wait long for more."""
        return replace(self.rt, drain_idle=timedelta(milliseconds=1))

    @property
    def client(self) -> FlaskClient:
        """A new client: one per thread."""
        return self.app.test_client()

    def post(
        self,
        document: Any = None,
        *,
        key: str | None = None,
        headers: dict[str, str] | None = None,
        path: str = "/sms/send",
        **options: Any,
    ) -> TestResponse:
        """Send a request to send; `data` instead of a document posts bytes as they are."""
        authorized = {"Authorization": f"Bearer {key or self.key}"} | (headers or {})
        content = {"json": document} if "data" not in options else {"content_type": "application/json"}
        return self.client.post(path, headers=authorized, **content | options)

    def send(self, **fields: Any) -> dict[str, Any]:
        """Send a valid text and return the answer."""
        response = self.post({"to": TO, "body": "hello"} | fields)
        assert response.status_code == 202, response.text
        answer: dict[str, Any] = response.json
        return answer

    def get(self, path: str, **query: Any) -> TestResponse:
        """Ask for something."""
        return self.client.get(
            path, query_string=query or None, headers={"Authorization": f"Bearer {self.key}"}
        )

    def delete(self, path: str) -> TestResponse:
        """Ask for something to be removed."""
        return self.client.delete(path, headers={"Authorization": f"Bearer {self.key}"})

    def stored(self, public_id: str) -> Message:
        """Return the row behind an id, which must be there."""
        message_id = parse_public_id(public_id)
        assert message_id is not None
        with self.rt.sessions() as session:
            message = reads.get(session, message_id)
        assert message is not None
        return message


class _CompiledOnceRule(Rule):
    """A route that compiles its path as every earlier application did: most of the time that one takes to build."""

    _compiled: ClassVar[dict[object, Any]] = {}

    def _compile_builder(self, append_unknown: bool = True) -> Any:
        key = (append_unknown, str(self.defaults), *self._trace)  # all that the compiled function depends on
        if key not in self._compiled:
            self._compiled[key] = super()._compile_builder(append_unknown)
        return self._compiled[key]


@contextmanager
def serving(settings: Settings, key: str = "") -> Iterator[Api]:
    """Build the application, and close its connections at the end."""
    with patch.object(APIFlask, "url_rule_class", _CompiledOnceRule):
        api = Api(create_app(settings), key)
    try:
        yield api
    finally:
        provided(RefusedCallbacks, api.app).close()
        provided(NewsDesk, api.app).close()  # a look at the database may be under way
        api.rt.sessions.kw["bind"].dispose()


def problem(response: TestResponse, status: int, code: str) -> Problem:
    """Return the problem document of a response, which must be one of this kind."""
    assert response.status_code == status, response.text
    assert response.content_type == "application/problem+json"
    found = Problem.model_validate_json(response.data)
    assert (found.status, found.code, found.type) == (status, code, "about:blank")
    assert {fault.code for fault in found.errors} <= set(FAULT_CODES)
    return found


def faults(response: TestResponse, code: str = "invalid_request") -> dict[str, str]:
    """Return the code of each fault by its pointer."""
    return {fault.pointer: fault.code for fault in problem(response, 400, code).errors}
