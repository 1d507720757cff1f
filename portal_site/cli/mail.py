"""`portal mail`: the sender of an account's e-mails, what waits, and how each kind looks."""

from pathlib import Path
from typing import Any

import click
from flask import Flask

from portal_site.cli.groups import with_app
from portal_site.cli.serving import fail


@click.group()
def mail() -> None:
    """E-mails to customers."""


@mail.command("retry")
@click.argument("email", required=False)
@with_app
def retry_emails(_app: Flask, email: str | None) -> None:
    """Send again what was given up: one e-mail, or all."""
    from portal_site import clock
    from portal_site.mail import outbox

    count = outbox.retry(email, clock.now())
    if not count:
        fail("There is nothing that could be sent again.")
    click.echo(f"{count} will be sent again by the worker.")


@mail.command("forget")
@click.argument("address")
@with_app
def forget_address(_app: Flask, address: str) -> None:
    """Send to an address again that a mail server has refused for good."""
    from portal_site.mail import outbox

    if not outbox.forget(address):
        fail(f"{address} was not refused.")
    click.echo(f"{address} gets e-mails again.")


@mail.command("sender")
@click.option("--account", "account_id", help="The account; needed when there are several.")
@click.option("--name", help="The sender's name; that of the business otherwise.")
@click.option("--address", help="The sender's address; that of PORTAL_MAIL_FROM otherwise.")
@click.option("--reply-to", help="Where answers go; to the support address otherwise.")
@click.option("--dkim-domain", help="The domain that e-mails are signed for.")
@click.option("--dkim-selector", default="portal", show_default=True, help="The name of the key in the domain's DNS.")
@click.option("--dkim-key", type=click.Path(exists=True, path_type=Path), help="The private RSA key, as PEM.")
@with_app
def set_sender(_app: Flask, account_id: str | None, **given: Any) -> None:
    """Set an account's own sender. What is not given goes back to what holds without it."""
    from portal_site.mail import senders

    key = given.pop("dkim_key")
    record = senders.set_sender(account_id, key=key.read_text() if key else None, **given)
    if record:
        click.echo(f"The domain needs this record of type TXT:\n{record}")


@mail.command("preview")
@click.argument("kind")
@click.option("--locale", default="en", show_default=True)
@click.option("--to", "folder", type=click.Path(path_type=Path), default=Path(), help="The folder; this one otherwise.")
@click.option("--account", "account_id", help="In the colours of this account; needed when there are several.")
@with_app
def preview(_app: Flask, kind: str, locale: str, folder: Path, account_id: str | None) -> None:
    """Write how an e-mail of a KIND looks, as HTML and text, with made-up contents."""
    from portal_site.mail import previews

    content = previews.preview(kind, locale, account_id)
    for ending, text in (("html", content.html), ("txt", content.text)):
        path = folder / f"{kind}-{locale}.{ending}"
        path.write_text(text)
        click.echo(path)
