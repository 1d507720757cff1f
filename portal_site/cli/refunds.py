"""`portal refund`: gives back what was paid of an invoice."""

import click
from flask import Flask

from portal_site.cli.groups import with_app


@click.command()
@click.argument("invoice")
@click.option("--amount", type=click.IntRange(min=1), help="In minor units (cents); all that is left by default.")
@click.option("--reason", help="duplicate, fraudulent or requested_by_customer.")
@click.option("--key", help="A name for this refund: the same one gives back once, however often it is used.")
@with_app
def refund(app: Flask, invoice: str, amount: int | None, reason: str | None, key: str | None) -> None:
    """Refund the last payment of an invoice to where it came from."""
    from portal_site import clock as clocks
    from portal_site.billing.payments import refunds
    from portal_site.ids import new_id

    customer_id, attempt_id, at = refunds.payment_of(invoice, clocks.now())
    gateways = app.extensions["gateways"]
    row = refunds.refund(gateways, customer_id, attempt_id, at, key or new_id("refund"), amount, reason)
    click.echo(f"{row.id} {row.status}")
