"""Which payment providers the program works with, by its settings."""

from collections.abc import Callable, Mapping

from flask import Flask

from portal_site.billing.gateways import Gateway, sandbox
from portal_site.billing.gateways.registry import Gateways
from portal_site.config import Settings

FACTORIES: Mapping[str, Callable[[Flask], Gateway]] = {"sandbox": sandbox.init}


def init(app: Flask, settings: Settings) -> None:
    """Set up those that the setting names; the first takes new payment methods. A demo always has the sandbox."""
    names = [*settings.gateways, *(["sandbox"] if settings.demo else [])]
    default, *others = (FACTORIES[name](app) for name in dict.fromkeys(names))
    app.extensions["gateways"] = Gateways(default, *others)
