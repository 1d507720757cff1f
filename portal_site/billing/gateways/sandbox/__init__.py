"""A simulated payment provider for test mode. It has its own tables, accepts test numbers only and moves no money."""

from flask import Flask, url_for

from portal_site.billing.gateways.sandbox import events, hosted_pages
from portal_site.billing.gateways.sandbox.gateway import SandboxGateway


def init(app: Flask) -> SandboxGateway:
    """Put up its pages; it as a gateway."""

    def address(endpoint: str, **values: str) -> str:
        return url_for(endpoint, **values, _external=True)

    app.register_blueprint(hosted_pages.blueprint)
    keys = [app.config["SECRET_KEY"], *app.config["SECRET_KEY_FALLBACKS"]]
    return SandboxGateway(address, tuple(map(events.secret_of, keys)))
