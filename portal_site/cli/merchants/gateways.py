"""`portal gateway`: an account's connection to Stripe."""

from contextlib import suppress
from typing import TYPE_CHECKING

import click
from flask import Flask

from portal_site.cli.groups import with_app
from portal_site.cli.serving import fail

if TYPE_CHECKING:
    from portal_site.billing.gateways.stripe.connections import StripeConnector

_account = click.option("--account", "account_id", help="The account; needed when there are several.")
_live = click.option("--live", is_flag=True, help="For live mode, in which real money moves.")


@click.group()
def gateway() -> None:
    """Stripe as payment provider."""


@gateway.command("connect")
@_account
@_live
@click.option(
    "--for", "acts_for", help="With a platform's key: the connected account at Stripe (acct_…) that is charged for."
)
@with_app
def connect(app: Flask, account_id: str | None, live: bool, acts_for: str | None) -> None:
    """Store a secret or restricted key, which is asked for (or read from standard input), once it is checked.

    Then the endpoint at Stripe is made that sends events here.
    """
    from portal_site import clock
    from portal_site.billing.errors import BillingError
    from portal_site.billing.gateways.stripe import connections, endpoint

    key, account, connector = click.prompt("Key", hide_input=True, err=True), _id(account_id), _connector(app)
    try:
        report = connections.connect(connector, account, live, key, clock.now(), acts_for)
    except BillingError as refusal:
        fail(str(refusal))
    click.echo(f"Connected to {report.stripe_account} ({report.country}, {report.currency}).")
    try:
        click.echo(f"Events: {endpoint.register(connector, account, live, _address(account), clock.now())}")
    except BillingError as refusal:
        click.echo(f"{refusal} Until then, Stripe is asked once an hour what happened.", err=True)


@gateway.command("check")
@_account
@_live
@with_app
def check(app: Flask, account_id: str | None, live: bool) -> None:
    """Ask Stripe whether the stored key still works, and what it may not do. The exit code is 1 if it does not work."""
    from portal_site import clock
    from portal_site.billing.errors import BillingError
    from portal_site.billing.gateways.stripe import connections, endpoint

    account, connector = _id(account_id), _connector(app)
    try:
        report = connections.check(connector, account, live, clock.now())
        silence = endpoint.fault(connector, account, live)
    except BillingError as refusal:
        fail(str(refusal))
    click.echo(f"Connected to {report.stripe_account} ({report.country}, {report.currency}).")
    click.echo(f"Events: {silence or 'sent by Stripe at once.'}")
    if report.missing:
        fail(f"The key may not do all that is needed. It is missing: {', '.join(report.missing)}.")


@gateway.command("events")
@_account
@_live
@click.option(
    "--by-hand", is_flag=True, help="Say how the endpoint is made in Stripe's dashboard, and ask for its secret."
)
@with_app
def events(app: Flask, account_id: str | None, live: bool, by_hand: bool) -> None:
    """Make the endpoint at Stripe that sends events here, or bring it up to date."""
    from portal_site import clock
    from portal_site.billing.errors import BillingError
    from portal_site.billing.gateways.stripe import connections, endpoint
    from portal_site.billing.gateways.stripe.events import TYPES

    account, connector = _id(account_id), _connector(app)
    try:
        if by_hand:
            click.echo(f"Endpoint: {_address(account)}")
            click.echo(f"Events: {', '.join(TYPES)}")
            secret = click.prompt("Signing secret", hide_input=True, err=True)
            connections.set_endpoint_secret(account, live, secret, clock.now())
            click.echo("Stored. A secret of before counts for another day.")
        else:
            click.echo(endpoint.register(connector, account, live, _address(account), clock.now()))
    except BillingError as refusal:
        fail(str(refusal))


@gateway.command("disconnect")
@_account
@_live
@with_app
def disconnect(app: Flask, account_id: str | None, live: bool) -> None:
    """Forget the key. Payment methods stay at Stripe, and are not charged until it is connected again."""
    from portal_site import clock
    from portal_site.billing.errors import BillingError
    from portal_site.billing.gateways.stripe import connections, endpoint

    account = _id(account_id)
    with suppress(BillingError):  # a key that does not work any more cannot take its endpoint along
        endpoint.remove(_connector(app), account, live)
    try:
        connections.disconnect(account, live, clock.now())
    except BillingError as refusal:
        fail(str(refusal))
    click.echo("Stripe is not connected any more.")


def _connector(app: Flask) -> "StripeConnector":
    from portal_site.billing.gateways.stripe.connections import StripeConnector

    found = app.extensions["gateways"].connector("stripe")
    if not isinstance(found, StripeConnector):
        fail("Stripe is not installed here: set PORTAL_GATEWAY=stripe.")
    return found


def _address(account_id: str) -> str:
    from portal_site.web import addresses

    return addresses.base("gateways.store_event", name="stripe", account_id=account_id)


def _id(account_id: str | None) -> str:
    from portal_site.billing.loading import ownership
    from portal_site.db.transactions import transaction

    with transaction() as session:
        return str(ownership.get_account(session, account_id).id)
