"""`portal draft` and `portal refund`: invoices that a merchant keeps for later, and payments that it gives back."""

import click
from flask import Flask

from portal_site.cli.groups import with_app


@click.group()
def draft() -> None:
    """Draft invoices of subscriptions with paused collection (pause_collection: keep_as_draft)."""


@draft.command("list")
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def list_drafts(_app: Flask, account_id: str | None) -> None:
    """List the drafts, oldest first."""
    from portal_site.billing.invoicing import drafts
    from portal_site.cli import tables

    rows = drafts.drafts(account_id)
    if not rows:
        click.echo("There are no drafts.", err=True)
    else:
        tables.show(tables.drafts(rows))


@draft.command("finalize")
@click.argument("invoices", nargs=-1, required=True)
@with_app
def finalize_drafts(_app: Flask, invoices: tuple[str, ...]) -> None:
    """Finalize drafts: each becomes visible to its customer, and is collected."""
    from portal_site import clock as clocks
    from portal_site.billing.invoicing import drafts

    for invoice_id in invoices:
        click.echo(drafts.finalize(invoice_id, clocks.now()).number)


@draft.command("discard")
@click.argument("invoices", nargs=-1, required=True)
@with_app
def discard_drafts(_app: Flask, invoices: tuple[str, ...]) -> None:
    """Delete drafts. Their items are not billed."""
    from portal_site import clock as clocks
    from portal_site.billing.invoicing import drafts

    for invoice_id in invoices:
        drafts.discard(invoice_id, clocks.now())


@click.command()
@click.argument("invoice")
@click.option("--amount", type=click.IntRange(min=1), help="In minor units (cents); all that is left by default.")
@click.option("--to", "where", type=click.Choice(("payment-method", "balance")), default="payment-method",
              help="Back to where the payment came from, or to the customer's balance.")  # fmt: skip
@click.option("--reason", type=click.Choice(("duplicate", "fraudulent", "requested_by_customer")))
@click.option("--memo", help="What the credit note says to the customer.")
@click.option("--key", help="A name for this refund: the same one gives back once, however often it is used.")
@with_app
def refund(
    app: Flask, invoice: str, amount: int | None, where: str, reason: str | None, memo: str | None, key: str | None
) -> None:
    """Refund what was paid of an invoice, with a credit note."""
    from portal_site import clock as clocks
    from portal_site.billing.payments import refunds
    from portal_site.ids import new_id

    real, key, terms = clocks.now(), key or new_id("refund"), refunds.RefundTerms(amount, reason, memo)
    if where == "balance":
        customer_id, at = refunds.payer_of(invoice, real)
        note = refunds.credit_balance(customer_id, invoice, at, key, terms)
        click.echo(f"{note.number} to the balance")
        return
    customer_id, attempt_id, at = refunds.payment_of(invoice, real)
    row = refunds.refund(app.extensions["gateways"], customer_id, attempt_id, at, key, terms)
    click.echo(f"{row.id} {row.status}")
