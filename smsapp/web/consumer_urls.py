"""Check consumers' URLs in requests, and point at the field that holds a bad one."""

from typing import overload

from smsapp.addresses import url_fault
from smsapp.config import Settings
from smsapp.web.problems import Fault, invalid_request


@overload
def checked_url(settings: Settings, url: str, pointer: str) -> str: ...
@overload
def checked_url(settings: Settings, url: None, pointer: str) -> None: ...
def checked_url(settings: Settings, url: str | None, pointer: str) -> str | None:
    """Return the URL.

    Raises:
        ProblemError: events may not be sent there.
    """
    if url is None:
        return None
    fault = url_fault(url, allow_http=settings.push_allow_http, networks=settings.push_allowed_networks)
    if fault:
        raise invalid_request(Fault(pointer, "invalid", f"{fault[0].upper()}{fault[1:]}."))
    return url
