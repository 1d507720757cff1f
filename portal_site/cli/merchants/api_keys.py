"""`portal key`: keys for the API. A key is printed once, when it is made."""

import click
from flask import Flask

from portal_site.cli.groups import with_app
from portal_site.cli.serving import fail


@click.group()
def key() -> None:
    """API keys: what the merchant's program shows to make links and to read."""


@key.command("create")
@click.option("--live", is_flag=True, help="For live mode; for test mode otherwise.")
@click.option("--name", help="For telling it from others.")
@click.option(
    "--allow", "allowed", metavar="RIGHT=LEVEL", multiple=True,
    help="Makes a restricted key: customer_portal=write, customers=read. May be given several times.",
)  # fmt: skip
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def create_key(_app: Flask, live: bool, name: str | None, allowed: tuple[str, ...], account_id: str | None) -> None:
    """Create a key and print it: a secret key, or a restricted one with --allow."""
    from portal_site import clock as clocks
    from portal_site.billing.api_access import api_keys

    rights = dict(_right(words) for words in allowed) or None
    made = api_keys.create(account_id, clocks.now(), livemode=live, name=name, rights=rights)
    _show(made.row.id, made.token)


def _right(words: str) -> tuple[str, str]:
    right, equals, level = words.partition("=")
    if not equals:
        fail("--allow takes a right and a level, such as customer_portal=write.")
    return right, level


@key.command("list")
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def list_keys(_app: Flask, account_id: str | None) -> None:
    """Show the keys, without what is secret of them."""
    from portal_site import clock as clocks
    from portal_site.billing.api_access import api_keys
    from portal_site.cli import tables

    tables.show(tables.keys(api_keys.of_account(account_id), clocks.now()))


@key.command("roll")
@click.argument("key_id")
@click.option(
    "--keep-hours", default=0, show_default=True, type=click.IntRange(0, 7 * 24),
    help="How long the old key still works beside the new one.",
)  # fmt: skip
@with_app
def roll_key(_app: Flask, key_id: str, keep_hours: int) -> None:
    """Replace a key by a new one with the same rights, and print that."""
    from portal_site import clock as clocks
    from portal_site.billing.api_access import api_keys

    made = api_keys.roll(api_keys.owner(key_id), key_id, clocks.now(), keep_hours * 3600)
    _show(made.row.id, made.token)


@key.command("revoke")
@click.argument("key_id")
@with_app
def revoke_key(_app: Flask, key_id: str) -> None:
    """End a key at once."""
    from portal_site import clock as clocks
    from portal_site.billing.api_access import api_keys

    revoked = api_keys.revoke(api_keys.owner(key_id), key_id, clocks.now())
    click.echo(f"{revoked.redacted} works no more.")


def _show(key_id: str, token: str) -> None:
    click.echo(f"{key_id}: keep the key, it is not shown again.", err=True)
    click.echo(token)
