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
    from portal_site import clock
    from portal_site.mail.senders import settings

    key = given.pop("dkim_key")
    record = settings.set_sender(account_id, clock.now(), key=key.read_text() if key else None, **given)
    if record:
        click.echo(f"The domain needs this record of type TXT:\n{record}")


@mail.command("preview")
@click.argument("kind")
@click.option("--locale", default="en", show_default=True)
@click.option("--to", "folder", type=click.Path(path_type=Path), default=Path(), help="The folder; this one otherwise.")
@click.option("--account", "account_id", help="In the colours of this account; needed when there are several.")
@with_app
def preview(_app: Flask, kind: str, locale: str, folder: Path, account_id: str | None) -> None:
    """Write how an e-mail of a KIND (or `all`) looks, as HTML and text, with made-up contents."""
    from portal_site.notices import previews

    folder.mkdir(parents=True, exist_ok=True)
    for each in previews.KINDS if kind == "all" else (kind,):
        content = previews.preview(each, locale, account_id)
        for ending, text in (("html", content.html), ("txt", content.text)):
            path = folder / f"{each}-{locale}.{ending}"
            path.write_text(text)
            click.echo(path)


@mail.command("kinds")
@click.argument("kind", required=False)
@click.option("--on/--off", "enabled", default=None, help="Whether customers get e-mails of this kind.")
@click.option("--days", help="Of a reminder: how many days before its date, such as 3,0,-7 (after it, if negative).")
@click.option(
    "--least-period", type=click.IntRange(min=0), help="Of renewals: only of periods of so many days or more."
)
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def kinds(_app: Flask, kind: str | None, account_id: str | None, days: str | None, **given: Any) -> None:
    """List which kinds of e-mails an account's customers get, or change one KIND."""
    from portal_site.notices import settings
    from portal_site.notices.kinds import REMINDERS, Kind, kind_of

    if kind is not None:
        settings.change(account_id, kind_of(kind), days=_days(days), **given)
    own = settings.of_account(account_id)
    for each in Kind:
        when = f"  {', '.join(map(str, own[each].days))} days before" if each in REMINDERS else ""
        click.echo(f"{'on ' if own[each].enabled else 'off'}  {each}{when}")


def _days(written: str | None) -> tuple[int, ...] | None:
    if written is None:
        return None
    try:
        return tuple(int(each) for each in written.split(","))
    except ValueError:
        fail("--days are whole numbers with commas between them, such as 3,0,-7.")


@mail.command("contact")
@click.option("--customer", required=True, help="Id or e-mail address.")
@click.option("--add", help="Another address that gets the customer's e-mails.")
@click.option("--remove", help="An address that gets them no more.")
@click.option("--cc", is_flag=True, help="Add it as a copy (Cc), not as a recipient.")
@click.option("--kind", "kinds", multiple=True, help="Only e-mails of this kind; may be given several times.")
@click.option("--account", "account_id", help="The account; needed when several have such a customer.")
@with_app
def contact(
    _app: Flask, customer: str, add: str | None, remove: str | None, account_id: str | None, **how: Any
) -> None:
    """List the billing contacts of a customer, add one, or remove one."""
    from portal_site.notices import recipients

    if remove is not None:
        recipients.remove_contact(account_id, customer, remove)
    if add is not None:
        recipients.add_contact(account_id, customer, add, **how)
    for each in recipients.contacts(account_id, customer):
        kinds = ", ".join(each["kinds"]) or "all kinds"
        click.echo(f"{'cc' if each['cc'] else 'to'}  {each['email']}  {kinds}")


@mail.command("links")
@click.option("--days", type=int, help="For how many days links in e-mails work.")
@click.option("--revoke", help="A customer (id or e-mail address) whose links of before work no more.")
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def links(_app: Flask, days: int | None, revoke: str | None, account_id: str | None) -> None:
    """Say for how long links in e-mails work, or revoke those of a customer."""
    from portal_site import clock
    from portal_site.billing.portal_access import email_links
    from portal_site.notices import settings

    if days is not None:
        settings.set_link_days(account_id, days)
        click.echo(f"Links in e-mails work for {days} days.")
    if revoke is not None:
        email_links.revoke(revoke, clock.now(), account_id)
        click.echo("Links that were sent before lead nowhere any more.")
