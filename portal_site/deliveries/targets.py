"""Which addresses events may be sent to: those of the internet, and the networks that a setting allows.

Names are resolved once for each try, and what is connected to is the address that was judged, so a name that leads elsewhere a
moment later leads nowhere.
"""

import ipaddress
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from portal_site.billing.errors import BillingError
from portal_site.config import Network

Address = IPv4Address | IPv6Address
MOST = 8  # addresses of a name that are looked at
# IPv6 addresses that stand for one of IPv4, at the end of them: NAT64, and what is mapped or compatible.
EMBEDDED = tuple(ipaddress.IPv6Network(text) for text in ("64:ff9b::/96", "64:ff9b:1::/48", "::/96", "::ffff:0:0/96"))
# What machines tell about themselves is there: no setting allows it.
LINK_LOCAL = tuple(ipaddress.ip_network(text) for text in ("169.254.0.0/16", "fe80::/10", "fd00:ec2::/32"))
PRIVATE = "the address is in a private network"


class Unreachable(Exception):
    """An event cannot be sent there. The words are for the merchant's people."""


def is_allowed(address: Address, networks: Sequence[Network]) -> bool:
    """Whether events may be sent to an address."""
    inner = _meant(address)
    if any(inner.version == network.version and inner in network for network in LINK_LOCAL):
        return False
    if any(inner.version == network.version and inner in network for network in networks):
        return True
    return inner.is_global and not inner.is_multicast and not inner.is_reserved


def _meant(address: Address) -> Address:
    """The address of IPv4 that one of IPv6 stands for, if it does."""
    if isinstance(address, IPv4Address):
        return address
    if address.sixtofour is not None:
        return address.sixtofour
    if any(address in network for network in EMBEDDED) and int(address) > 1:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    return address


def resolve(host: str, port: int, networks: Sequence[Network]) -> list[str]:
    """The addresses of a host, in the order in which they are to be tried. Raises Unreachable if one of them is not allowed."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        raise Unreachable("the host name was not found") from None
    texts = list(dict.fromkeys(str(sockaddr[0]).partition("%")[0] for _family, _type, _proto, _name, sockaddr in found))
    for text in texts:
        if not is_allowed(ipaddress.ip_address(text), networks):
            raise Unreachable(PRIVATE)
    return texts[:MOST]


def check_url(url: str, networks: Sequence[Network]) -> None:
    """Raise BillingError for an address that can be seen to be private; what a name leads to is judged with each try."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        return  # the operation says what is wrong with it
    try:
        known = [ipaddress.ip_address(host)]
    except ValueError:
        is_local = host == "localhost" or host.endswith(".localhost")
        known = [IPv4Address("127.0.0.1")] if is_local else []
    if not all(is_allowed(address, networks) for address in known):
        raise BillingError(
            "Invalid URL: it must be reachable from the internet. The operator can allow networks with "
            "PORTAL_WEBHOOK_NETWORKS.",
            "url_invalid", "url",
        )  # fmt: skip
