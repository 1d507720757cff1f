"""`portal webhooks`: the endpoints of merchants' programs, and what was sent to them."""

import click
from flask import Flask

from portal_site.cli.groups import with_app

_account = click.option("--account", "account_id", help="The account; needed when there are several.")


@click.group()
def webhooks() -> None:
    """Where events are sent to, and what became of them."""


@webhooks.command("list")
@_account
@with_app
def list_endpoints(_app: Flask, account_id: str | None) -> None:
    """Show an account's endpoints in both modes, without their secrets."""
    from portal_site.billing.loading import ownership
    from portal_site.billing.webhooks import endpoints
    from portal_site.cli import tables
    from portal_site.db.transactions import transaction

    with transaction() as session:
        account = ownership.get_account(session, account_id).id
    tables.show(tables.webhook_endpoints(endpoints.of_account(account)))


@webhooks.command("deliveries")
@click.argument("endpoint_id")
@click.option("--most", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many, the newest first.")
@with_app
def deliveries(_app: Flask, endpoint_id: str, most: int) -> None:
    """Show what was sent to an endpoint last, with the next tries of what failed."""
    from portal_site.billing.webhooks import endpoints, queue
    from portal_site.cli import tables

    account_id, livemode = endpoints.owner(endpoint_id)
    row = endpoints.get(account_id, livemode, endpoint_id)
    tables.show(tables.deliveries(queue.deliveries_of(row, most)))


@webhooks.command("resend")
@click.argument("event_id")
@click.argument("endpoint_id")
@with_app
def resend(_app: Flask, event_id: str, endpoint_id: str) -> None:
    """Send an event to an endpoint again, with the worker's next look."""
    from portal_site import clock
    from portal_site.billing.webhooks import endpoints, queue

    account_id, livemode = endpoints.owner(endpoint_id)
    queue.send_again(account_id, livemode, event_id, endpoint_id, clock.now())
    click.echo(f"{event_id} is sent to {endpoint_id} again.")


@webhooks.command("roll")
@click.argument("endpoint_id")
@click.option(
    "--keep-hours", default=24, show_default=True, type=click.IntRange(0, 24),
    help="How long the old secret still signs beside the new one.",
)  # fmt: skip
@with_app
def roll(_app: Flask, endpoint_id: str, keep_hours: int) -> None:
    """Replace an endpoint's signing secret by a new one, and print that."""
    from portal_site import clock
    from portal_site.billing.webhooks import endpoints

    account_id, livemode = endpoints.owner(endpoint_id)
    made = endpoints.roll(account_id, livemode, endpoint_id, clock.now(), keep_hours * 3600)
    click.echo(f"{made.row.id}: keep the secret, it is not shown again.", err=True)
    click.echo(made.secret)
