"""The account at Stripe that a command reads or changes, and its key, which is never an argument."""

import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click
from flask import Flask

from portal_site.cli.serving import fail
from portal_site.config import Settings

if TYPE_CHECKING:
    from portal_site.billing.migration.stripe_api import StripeApi

VARIABLE = "STRIPE_API_KEY"  # as the stripe command calls it


@dataclass(frozen=True, slots=True)
class StripeAccount:
    """An account at Stripe, asked for an account here. `gateway` is the payment provider that charges its payment methods."""

    api: "StripeApi"
    account_id: str
    stripe_account: str
    gateway: str | None


def open_account(
    app: Flask, account_id: str | None, live: bool, rate: int, *, connected: bool = False
) -> StripeAccount:
    """The connected account at Stripe, or one whose key is in the environment or typed, unless it has to be `connected`."""
    from portal_site.billing.gateways.stripe import connections
    from portal_site.billing.gateways.stripe.connections import StripeConnector
    from portal_site.billing.migration.stripe_api import PATIENCE, Pace, StripeApi

    found = id_of(account_id)
    pace = Pace(rate, time.monotonic, time.sleep)
    connector = app.extensions["gateways"].connector("stripe")
    row = connections.find(found, live) if isinstance(connector, StripeConnector) else None
    if row is not None:
        api = StripeApi(connector.client_of(row, PATIENCE), pace)
        return StripeAccount(api, found, row.acts_for or row.stripe_account, connector.name)
    if connected:
        mode = "live" if live else "test"
        fail(f"Stripe is not connected in {mode} mode, so nothing could be charged here: run `portal gateway connect`.")
    key = (os.environ.get(VARIABLE) or click.prompt("Key", hide_input=True, err=True)).strip()
    connections.check_form(key, live)
    settings: Settings = app.config["SETTINGS"]
    api = StripeApi.of_key(key, None, settings.stripe_address, pace)
    account = api.ask(lambda asked: asked.accounts.retrieve_current())
    return StripeAccount(api, found, str(account["id"]), None)


def id_of(account_id: str | None) -> str:
    """The id of the account that is named, or of the only one. Raises BillingError."""
    from portal_site.billing.loading import ownership
    from portal_site.db.transactions import transaction

    with transaction() as session:
        return str(ownership.get_account(session, account_id).id)
