"""The network that a request comes from, by which visitors without a session are counted."""

from ipaddress import IPv6Address, ip_address, ip_network

from flask import request


def client_network() -> str:
    """The network of the client of this request; empty behind a socket that has no addresses."""
    return network_of(request.remote_addr or "")


def network_of(address: str) -> str:
    """The network of an IP address that somebody can get for themselves: of IPv6 the first 48 bits."""
    try:
        found = ip_address(address)
    except ValueError:
        return address
    if isinstance(found, IPv6Address) and found.ipv4_mapped is None:
        return str(ip_network((found, 48), strict=False))
    return str(getattr(found, "ipv4_mapped", None) or found)
