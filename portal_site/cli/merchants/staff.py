"""`portal setup`, `portal account` and `portal user`: the merchant's accounts, and who works for them."""

import click
from flask import Flask

from portal_site.cli.groups import with_app
from portal_site.cli.serving import fail

ROLES = ("owner", "admin", "support", "analyst")


@click.command("setup")
@with_app
def set_up(_app: Flask) -> None:
    """Print the link to the page that sets up a new portal."""
    from portal_site import clock
    from portal_site.dashboard.access import setup
    from portal_site.web import addresses

    link = setup.link(clock.now())
    if link is None:
        fail(f"It is set up already. Sign in at {addresses.base('dashboard.show_accounts')}.")
    click.echo(link)


@click.group()
def account() -> None:
    """Accounts: the merchants that this portal is for."""


@account.command("create")
@click.option("--name", "business_name", required=True, help="The business's name, as customers know it.")
@click.option("--country", required=True, help="Its country's code, such as FR.")
@click.option("--currency", help="The currency of most prices, such as eur; the country's otherwise.")
@click.option("--timezone", default="UTC", show_default=True, help="Of the dates that are shown, such as Europe/Paris.")
@click.option("--platform", "platform_id", help="The account that it is connected to.")
@with_app
def create_account(
    _app: Flask, business_name: str, country: str, currency: str | None, timezone: str, platform_id: str | None
) -> None:
    """Create an account and print its id."""
    from portal_site import clock
    from portal_site.billing.accounts import accounts, connected
    from portal_site.staff import setup

    usual = accounts.currencies_of(country.upper())
    wanted = accounts.NewAccount(business_name, country, currency or (usual[0] if usual else ""), timezone)
    now = clock.now()
    made = connected.create(platform_id, wanted, now) if platform_id else setup.create_account(wanted, now)
    click.echo(made.id)


@click.group()
def user() -> None:
    """Users of the dashboard."""


@user.command("create")
@click.option("--email", required=True)
@click.option("--role", type=click.Choice(ROLES), default="owner", show_default=True)
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def create_user(_app: Flask, email: str, role: str, account_id: str | None) -> None:
    """Invite somebody into an account's team, and print the link, where they choose a password. It works for a week."""
    from portal_site import clock
    from portal_site.staff import teams
    from portal_site.staff.roles import Role
    from portal_site.web import addresses

    made = teams.invite(teams.only_account(account_id), email, Role(role), None, clock.now())
    click.echo(addresses.base("invitations.show", token=made.token))


@user.command("reset")
@click.argument("email")
@with_app
def reset_user(_app: Flask, email: str) -> None:
    """Print a new password for somebody who has lost password, phone or passkeys. The second step is set up anew."""
    from portal_site import clock
    from portal_site.staff import users

    click.echo(users.reset(email, clock.now()))
