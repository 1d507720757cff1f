"""Custom domains: which host an account may have, its proof by DNS, the daily look at it, and what a proxy asks about it.

Requests for them are let in by `web.hosts`, links to them are made by `web.addresses`.
"""

from flask import Flask


def init(app: Flask) -> None:
    """Register the route for proxies. The extension `dns` is who answers questions about DNS."""
    from portal_site.domains import tls_ask
    from portal_site.domains.dns import Dns

    app.extensions["dns"] = Dns()
    app.register_blueprint(tls_ask.blueprint)
