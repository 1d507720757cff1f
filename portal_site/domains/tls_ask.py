"""What a proxy asks before it gets a certificate: whether a host is served here (on-demand TLS of Caddy)."""

from ipaddress import ip_address

from flask import Blueprint, Response, current_app, request

from portal_site.web import hosts

# What proxies add to a request that they pass on. A proxy that asks for itself adds none of them.
PASSED_ON = ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP", "Forwarded", "Via")
blueprint = Blueprint("tls_ask", __name__)


@blueprint.get("/internal/tls-ask")
def answer() -> Response:
    """200 for the portal's own host and for custom domains that work, 404 for all others, both without a word.

    It says no more than what everybody learns who tries to open a connection to the host. So a proxy may ask from anywhere in
    the own network; whoever comes through a proxy, or from outside, is told that there is nothing.
    """
    name = request.args.get("domain", "").lower().removesuffix(".")
    is_served = _comes_directly() and (
        name in current_app.config["SETTINGS"].hosts or hosts.lookups().owner_of(name) is not None
    )
    return Response(status=200 if is_served else 404, content_type="text/plain; charset=utf-8")


def _comes_directly() -> bool:
    if any(name in request.headers for name in PASSED_ON):
        return False
    try:
        peer = ip_address(request.remote_addr or "")
    except ValueError:
        return False
    return peer.is_loopback or peer.is_private
