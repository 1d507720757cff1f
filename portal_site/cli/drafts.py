"""`portal draft`: draft invoices, which a merchant keeps for later."""

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
