"""Every answer of the real server has the security headers, whichever of its paths made it."""

import pytest
import urllib3

from smsapp.web.plain_http import SECURITY_HEADERS
from tests.support.on_database import on_sqlite
from tests.support.stack import Stack

REQUESTS = {
    "a text": ("POST", "/sms/send", {"to": "+14155550142", "body": "headers"}, 202),
    "a faulty text": ("POST", "/sms/send", {"to": "nobody"}, 400),
    "a forged callback": ("POST", "/twilio/status", {}, 403),
    "a page": ("GET", "/docs", None, 200),
    "nothing": ("GET", "/nowhere", None, 404),
    "health": ("GET", "/livez", None, 200),
    "no HTTP": ("GET", "/livez", None, 400),
}


@on_sqlite
@pytest.mark.parametrize("name", REQUESTS)
def test_every_path_of_the_server_sends_them_once(stack: Stack, name: str) -> None:
    method, path, document, status = REQUESTS[name]
    pool = urllib3.HTTPConnectionPool("127.0.0.1", stack.ports["web"], retries=False)
    headers = {"Authorization": f"Bearer {stack.api_key}"}
    stack.request("GET", "/sms/messages")  # so that the fast path knows the key

    fields = {"a field": "x"} if name == "no HTTP" else headers
    answer = pool.request(method, path, json=document, headers=fields)

    assert answer.status == status
    for header, value in SECURITY_HEADERS.items():
        given = answer.headers.getlist(header)
        assert len(given) == 1
        assert given == [value] or (name, header) == ("a page", "Content-Security-Policy")
