"""A simulated payment provider for test mode. It has its own tables, accepts test numbers only and moves no money."""

from flask import Flask, url_for

from portal_site.billing.gateways.sandbox import hosted_pages
from portal_site.billing.gateways.sandbox.gateway import SandboxGateway


def init(app: Flask) -> None:
    """Install the sandbox as the app's gateway, and register its pages."""

    def address(endpoint: str, **values: str) -> str:
        return url_for(endpoint, **values, _external=True)

    app.extensions["gateway"] = SandboxGateway(address)
    app.register_blueprint(hosted_pages.blueprint)
