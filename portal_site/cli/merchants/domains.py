"""`portal domain`: the host of its own on which an account's customers see their portal."""

import click
from flask import Flask

from portal_site.billing.models import CustomDomain
from portal_site.cli.groups import with_app
from portal_site.cli.serving import fail

_account = click.option("--account", "account_id", help="The account; needed when there are several.")


@click.group()
def domain() -> None:
    """A host of its own for an account's customers."""


@domain.command("set")
@click.argument("host")
@_account
@with_app
def set_domain(_app: Flask, host: str, account_id: str | None) -> None:
    """Give an account the domain HOST, and print the DNS records that it needs. It works once it was checked."""
    from portal_site import clock
    from portal_site.domains import custom_domains

    _show(custom_domains.set_domain(_id(account_id), host, clock.now()))


@domain.command("show")
@_account
@with_app
def show(_app: Flask, account_id: str | None) -> None:
    """Print an account's domain, its state, and the DNS records that it needs."""
    _show(_found(account_id))


@domain.command("check")
@_account
@with_app
def check(app: Flask, account_id: str | None) -> None:
    """Look at the DNS records now. The exit code is 1 if the domain does not work."""
    from portal_site import clock
    from portal_site.domains import custom_domains

    found = custom_domains.check_domain(_id(account_id), app.extensions["dns"], clock.now())
    _show(found)
    if not found.works:
        fail(f"{found.host} does not work.")


@domain.command("remove")
@_account
@with_app
def remove(_app: Flask, account_id: str | None) -> None:
    """Take the domain away: links lead to the portal's own host again."""
    from portal_site import clock
    from portal_site.domains import custom_domains

    found = _found(account_id)
    custom_domains.remove_domain(found.account_id, clock.now())
    click.echo(f"{found.host} is nobody's any more. Remove its DNS records, too.")


def _id(account_id: str | None) -> str:
    from portal_site.billing.loading import ownership
    from portal_site.db.transactions import transaction

    with transaction() as session:
        return str(ownership.get_account(session, account_id).id)


def _found(account_id: str | None) -> CustomDomain:
    from portal_site.domains import custom_domains

    found = custom_domains.find_domain(_id(account_id))
    return found if found is not None else fail("This account has no custom domain. `portal domain set` gives it one.")


def _show(found: CustomDomain) -> None:
    from portal_site.domains import custom_domains, states

    state = states.describe(found)
    click.echo(f"{found.host}: {state.label.lower()}")
    for words in state.sentences:
        click.echo(f"  {words}")
    click.echo("Its DNS records:")
    for record in custom_domains.records(found):
        click.echo(f"  {record.type:5}  {record.name}  {record.value}")
        if record.type == "ALIAS":
            click.echo(f"         (or A and AAAA records with the addresses of {record.value})")
