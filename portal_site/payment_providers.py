"""Which payment providers the program works with, by its settings."""

from collections.abc import Callable, Mapping

from flask import Flask

from portal_site.billing.gateways import Connector, Gateway, sandbox
from portal_site.billing.gateways.registry import Gateways
from portal_site.billing.gateways.stripe.connections import StripeConnector
from portal_site.config import Settings


def _stripe(app: Flask) -> Connector:
    return StripeConnector(app.config["SETTINGS"].stripe_address)


FACTORIES: Mapping[str, Callable[[Flask], Gateway | Connector]] = {"sandbox": sandbox.init, "stripe": _stripe}


def init(app: Flask, settings: Settings) -> None:
    """Set up those of the setting; the first that an account has takes new payment methods. A demo always has the sandbox."""
    names = [*settings.gateways, *(["sandbox"] if settings.demo else [])]
    preferred, *others = (FACTORIES[name](app) for name in dict.fromkeys(names))
    app.extensions["gateways"] = Gateways(preferred, *others)
