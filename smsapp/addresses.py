"""Which network addresses a consumer may have: a caller's URL must not reach what only this machine can (SSRF)."""

from collections.abc import Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address

_FORBIDDEN: tuple[Network, ...] = tuple(
    ip_network(block)
    for block in (
        # The IANA registries of special-purpose addresses, and multicast. They are listed here because the result of
        # Python's own `is_global` changes between releases.
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",  # carrier-grade NAT, and 100.100.100.200 is a cloud's metadata service
        "127.0.0.0/8",
        "169.254.0.0/16",  # 169.254.169.254 is the metadata service of most clouds
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/3",  # multicast, reserved and broadcast
        "::/96",  # unspecified, loopback, and the deprecated form of IPv4 in IPv6
        "64:ff9b:1::/48",
        "100::/64",
        "2001:db8::/32",
        "2001::/23",  # protocol assignments, and Teredo, which embeds an obfuscated IPv4 address
        "3fff::/20",
        "5f00::/16",
        "fc00::/7",
        "fe80::/10",
        "fec0::/10",
        "ff00::/8",
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")
_SIX_TO_FOUR = IPv6Network("2002::/16")


def is_allowed(address: str, networks: Iterable[Network] = ()) -> bool:
    """Return whether a consumer may have this address: a public one, or one in the allowed networks.

    Of an IPv4 address inside an IPv6 one (mapped, NAT64, 6to4), the inner one counts.
    """
    try:
        inner = _unwrapped(ip_address(address.partition("%")[0]))
    except ValueError:
        return False
    if any(inner.version == network.version and inner in network for network in networks):
        return True
    return not any(inner.version == block.version and inner in block for block in _FORBIDDEN)


def url_fault(url: str, *, allow_http: bool, networks: Iterable[Network] = ()) -> str | None:
    """Return what is wrong with a consumer's URL, as far as the URL itself shows it; None if nothing is.

    Its host name is resolved, and the address checked, for each connection.
    """
    parts = urlsplit(url)
    try:
        usable = bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable or not url.isascii():
        return "must be an absolute URL in ASCII, with what else it has percent-encoded"
    if parts.scheme != "https" and not (allow_http and parts.scheme == "http"):
        return "must begin with https:// (http:// is for services that run with PUSH_ALLOW_HTTP=true)"
    if "@" in parts.netloc or parts.fragment:
        return "must have neither a user name nor a fragment; use headers for credentials"
    if _is_address(parts.hostname or "") and not is_allowed(parts.hostname or "", networks):
        return "must not be an address inside a private network, unless the service's PUSH_ALLOWED_NETWORKS names it"
    return None


def _is_address(host: str) -> bool:
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _unwrapped(address: Address) -> Address:
    if isinstance(address, IPv4Address):
        return address
    if address.ipv4_mapped:
        return address.ipv4_mapped
    if address in _NAT64:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    if address in _SIX_TO_FOUR:
        return IPv4Address((int(address) >> 80) & 0xFFFFFFFF)
    return address
