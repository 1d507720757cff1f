"""`portal clock`: test clocks."""

from datetime import UTC, datetime

import click
from flask import Flask

from portal_site.cli.groups import with_app


@click.group()
def clock() -> None:
    """Test clocks, which set the time for the customers attached to them."""


MOMENT = click.DateTime(("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"))


def _instant(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


@clock.command("create")
@click.option("--at", "moment", type=MOMENT, help="The time it stands at (UTC); now when not given.")
@click.option("--name", help="For telling it from others.")
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def create_clock(_app: Flask, moment: datetime | None, name: str | None, account_id: str | None) -> None:
    """Create a test clock and print its id."""
    from portal_site import clock as clocks
    from portal_site.billing.billing_run import test_clocks

    now = clocks.now()
    test_clock = test_clocks.create(_instant(moment) if moment else now, now, account_id, name)
    click.echo(test_clock.id)


@clock.command("attach")
@click.argument("clock_id")
@click.argument("customer")
@with_app
def attach_clock(_app: Flask, clock_id: str, customer: str) -> None:
    """Attach a customer (id or e-mail address) to a test clock."""
    from portal_site.billing.billing_run import test_clocks

    test_clock = test_clocks.attach(clock_id, customer)
    frozen_time = datetime.fromtimestamp(test_clock.frozen_time, UTC)
    click.echo(f"{customer} lives at {frozen_time:%Y-%m-%d %H:%M:%S} UTC now.", err=True)


@clock.command("advance")
@click.argument("clock_id")
@click.option("--to", "moment", type=MOMENT, required=True, help="The time to move to (UTC).")
@with_app
def advance_clock(app: Flask, clock_id: str, moment: datetime) -> None:
    """Move a test clock forward. All billing work due on the way is done in order."""
    from portal_site.billing.billing_run import test_clocks
    from portal_site.web import addresses

    test_clocks.advance(app.extensions["gateways"], clock_id, _instant(moment), addresses.after_payment)
    click.echo(f"It is {moment:%Y-%m-%d %H:%M:%S} UTC for the customers of {clock_id}.", err=True)
