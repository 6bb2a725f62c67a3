"""The doctor's own callback: whatever stands between Twilio and us is explained in words."""

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from werkzeug.serving import BaseWSGIServer, make_server

from smsapp.config import Settings
from smsapp.health.public_address import check_callbacks
from smsapp.runtime import Runtime
from tests.support.certificates import OPENSSL, Authority
from tests.support.web import serving

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)

Wsgi = Callable[[dict[str, Any], Any], Iterable[bytes]]
Proxy = Callable[[Wsgi], Wsgi]


class _Place:
    """A web server whose application is set once its address is known."""

    def __init__(self) -> None:
        self.app: Wsgi = answering("503 Service Unavailable")

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.app(environ, start_response)


@contextmanager
def listening(place: _Place, **options: Any) -> Iterator[str]:
    server: BaseWSGIServer = make_server("127.0.0.1", 0, place, threaded=True, **options)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answering(status: str, **headers: str) -> Wsgi:
    def app(_environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        start_response(status, list(headers.items()))
        return [] if status.startswith("204") else [b"<html>"]

    return app


def changing(**changes: str | None) -> Proxy:
    """Return a proxy that changes what it passes on."""

    def proxy(app: Wsgi) -> Wsgi:
        def changed(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
            for name, value in changes.items():
                if value is None:
                    environ.pop(name, None)
                else:
                    environ[name] = value
            return app(environ, start_response)

        return changed

    return proxy


def checked(
    rt: Runtime, settings: Settings, proxy: Proxy, *, suffix: str = "", **of_web: Any
) -> tuple[str, str] | None:
    """Run the check against the web application behind a proxy; `of_web` are settings of the web process alone."""
    place = _Place()
    with listening(place) as address:
        public = settings.model_copy(update={"app_base_url": f"http://{address}{suffix}"})
        with serving(public.model_copy(update=of_web)) as web:
            place.app = proxy(web.app)
            return check_callbacks(replace(rt, settings=public))


def test_a_callback_that_arrives_is_no_fault(rt: Runtime, settings: Settings) -> None:
    assert checked(rt, settings, lambda app: app) is None
    assert rt.stream.length() == 0


@pytest.mark.parametrize(
    ("proxy", "said"),
    [
        pytest.param(
            changing(HTTP_X_TWILIO_SIGNATURE=None), "drops the header X-Twilio-Signature", id="header"
        ),
        pytest.param(
            changing(PATH_INFO="/check", REQUEST_URI="/check"), "the proxy changed the path", id="path"
        ),
        pytest.param(changing(RAW_URI="/twilio/check?x=1"), "in query", id="query"),
        pytest.param(changing(CONTENT_TYPE="text/plain"), "Content-Type", id="type"),
        pytest.param(changing(REQUEST_METHOD="GET"), "another method", id="method"),
        pytest.param(lambda _app: answering("204 No Content"), "answers in our place", id="anybody"),
        pytest.param(lambda _app: answering("200 OK"), "another program", id="another"),
        pytest.param(
            lambda _app: answering("301 Moved", Location="https://www.example.com/"),
            "called first",
            id="redirect",
        ),
        pytest.param(lambda _app: answering("401 Unauthorized"), "login", id="login"),
        pytest.param(lambda _app: answering("403 Forbidden"), "firewall", id="firewall"),
        pytest.param(lambda _app: answering("404 Not Found"), "Nothing is at this path", id="not found"),
        pytest.param(
            lambda _app: answering("502 Bad Gateway"), "does not reach the web process", id="gateway"
        ),
    ],
)
def test_what_a_proxy_does_is_explained(rt: Runtime, settings: Settings, proxy: Proxy, said: str) -> None:
    found = checked(rt, settings, proxy)

    assert found is not None
    assert said in " ".join(found)


@pytest.mark.parametrize(
    ("of_web", "said"),
    [
        ({"app_base_url": "https://other.example"}, "in scheme and host and port"),
        ({"twilio_account_sid": "AC" + "f" * 32}, "another TWILIO_ACCOUNT_SID"),
    ],
)
def test_a_web_process_with_other_settings_is_explained(
    rt: Runtime, settings: Settings, of_web: dict[str, Any], said: str
) -> None:
    found = checked(rt, settings, lambda app: app, **of_web)

    assert found is not None
    assert said in found.remedy


@pytest.mark.skipif(OPENSSL is None, reason="makes certificates with openssl")
def test_a_certificate_that_nobody_trusts_is_explained(
    rt: Runtime, settings: Settings, tmp_path: Path
) -> None:
    with listening(_Place(), ssl_context=Authority(tmp_path).server_context()) as address:
        public = settings.model_copy(update={"app_base_url": f"https://{address}"})
        found = check_callbacks(replace(rt, settings=public))

    assert found is not None
    assert "certificate" in found.fault


def test_https_to_a_port_without_tls_is_explained(rt: Runtime, settings: Settings) -> None:
    with listening(_Place()) as address:
        public = settings.model_copy(update={"app_base_url": f"https://{address}"})
        found = check_callbacks(replace(rt, settings=public))

    assert found is not None
    assert "speaks no TLS" in found.fault


def test_a_prefix_that_the_proxy_does_not_cut_is_explained(rt: Runtime, settings: Settings) -> None:
    found = checked(rt, settings, lambda app: app, suffix="/hooks")

    assert found is not None
    assert "A prefix in APP_BASE_URL is for the proxy to cut" in found.remedy


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://name.invalid", "the DNS knows no name.invalid"),
        ("http://127.0.0.1:1", "refused"),
        ("https://127.0.0.1:1", "refused"),
    ],
)
def test_an_address_that_nobody_answers_is_explained(
    rt: Runtime, settings: Settings, url: str, said: str
) -> None:
    found = check_callbacks(replace(rt, settings=settings.model_copy(update={"app_base_url": url})))

    assert found is not None
    assert said in found.fault
