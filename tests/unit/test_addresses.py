"""Which addresses consumers may have."""

from ipaddress import ip_network

import pytest

from smsapp.addresses import is_allowed, url_fault

PUBLIC = (
    "1.1.1.1",
    "8.8.8.8",
    "100.63.255.255",
    "172.32.0.1",
    "2606:4700:4700::1111",
    "64:ff9b::808:808",
    "::ffff:8.8.8.8",
)
FORBIDDEN = (
    "0.0.0.0",  # noqa: S104 - nobody binds to it here
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",  # Alibaba's metadata service
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",  # most clouds' metadata service
    "169.254.170.2",  # ECS' credentials
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.192",  # Oracle's metadata service
    "192.168.1.1",
    "198.18.0.1",
    "203.0.113.9",
    "224.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2002:7f00:1::",
    "2002:c0a8:101::1",
    "2001:0:53aa:64c:0:0:80ff:fffe",
    "2001:db8::1",
    "fc00::1",
    "fd00:ec2::254",  # AWS' metadata service
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
    "nonsense",
    "",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)


@pytest.mark.parametrize("address", FORBIDDEN)
def test_addresses_of_our_own_are_not(address: str) -> None:
    assert not is_allowed(address)


def test_a_network_can_be_allowed_and_nothing_else_with_it() -> None:
    networks = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]

    assert is_allowed("10.1.2.3", networks)
    assert is_allowed("::ffff:10.1.2.3", networks)
    assert is_allowed("fd12::1", networks)
    assert not is_allowed("10.2.0.1", networks)
    assert not is_allowed("127.0.0.1", networks)


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com/",
        "ftp://example.com/",
        "https://",
        "https://example.com:99999/",
        "https://user:secret@example.com/",
        "https://example.com/#part",
        "https://exämple.com/",
        "https://127.0.0.1/",
        "https://[::1]/",
        "https://[::ffff:10.0.0.1]/",
        "https://169.254.169.254/latest/meta-data",
    ],
)
def test_urls_that_show_their_fault(url: str) -> None:
    assert url_fault(url, allow_http=False)


def test_urls_that_show_none() -> None:
    assert url_fault("https://example.com:8443/a?b=c", allow_http=False) is None
    assert url_fault("https://8.8.8.8/", allow_http=False) is None
    assert url_fault("http://127.0.0.1:9000/", allow_http=True, networks=[ip_network("127.0.0.0/8")]) is None


@pytest.mark.parametrize(
    ("url", "setting"),
    [("http://example.com/", "PUSH_ALLOW_HTTP"), ("https://127.0.0.1/", "PUSH_ALLOWED_NETWORKS")],
)
def test_a_refusal_that_a_setting_would_lift_names_it(url: str, setting: str) -> None:
    assert setting in (url_fault(url, allow_http=False) or "")
