"""The REST API under /v1, on which Stripe's SDKs work unchanged: forms in, JSON out, in the mode and account of the key.

A module has the routes of one resource. What they share: `routes`, `authentication`, `parameters`, `expansion`, `lists`,
`search`, `idempotency` and `answers`.
"""

from flask import Flask

from portal_site.web import security


def init(app: Flask) -> None:
    """Register the blueprint. It needs no CSRF token, because it looks at no cookie."""
    # Each registers its routes on the blueprint.
    from portal_site.api import customers, events, portal_configurations, portal_sessions, webhook_endpoints  # noqa: F401
    from portal_site.api.payments import charges, checkout_sessions, payment_intents, returns, setup_intents  # noqa: F401
    from portal_site.api.routes import blueprint

    security.csrf.exempt(blueprint)
    app.register_blueprint(blueprint)
    app.register_blueprint(returns.blueprint)
