"""The `portal` command. Each subcommand calls one operation. An error is printed as one line that says what to do."""

import logging
import sys
from pathlib import Path

import click
from flask import Flask

from portal_site.cli import serving
from portal_site.cli.checks import audit, check
from portal_site.cli.groups import PlainGroup, with_app
from portal_site.cli.imports import import_objects
from portal_site.cli.invoices import draft, refund
from portal_site.cli.links import cancellation_page, link, login_page
from portal_site.cli.mail import mail
from portal_site.cli.merchants.api_keys import key
from portal_site.cli.merchants.domains import domain
from portal_site.cli.merchants.gateways import gateway
from portal_site.cli.merchants.migration import migrate_billing
from portal_site.cli.merchants.staff import account, set_up, user
from portal_site.cli.merchants.webhooks import webhooks
from portal_site.cli.serving import fail
from portal_site.cli.test_clocks import clock
from portal_site.config import Settings


@click.group(cls=PlainGroup)
def main() -> None:
    """Portal Site: a customer billing portal."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 64))
@with_app
def run(app: Flask, host: str, port: int, threads: int) -> None:
    """Serve the portal with waitress, in one process. With an empty database, it prints the link for the set-up."""
    from portal_site import clock as clocks
    from portal_site.dashboard.access import setup
    from portal_site.db import migrations
    from portal_site.web.servers import access_log

    access_log.configure()
    if migrations.warn_if_behind(app) and (there := setup.link(clocks.now())):
        click.echo(f"Nothing is set up yet. Begin at\n  {there}")
    serving.serve(app, host, port, threads)


@main.command()
@with_app
def migrate(app: Flask) -> None:
    """Upgrade the database to the newest schema."""
    from portal_site.db import migrations

    migrations.upgrade(app)
    click.echo("The database is up to date.")


@main.command()
@click.option("--threads", default=1, show_default=True, type=click.IntRange(1, 32), help="Runs at the same time.")
@click.option(
    "--clock-is-right", is_flag=True, help="Start though this clock differs from another one: that was wrong."
)
@with_app
def worker(app: Flask, threads: int, clock_is_right: bool) -> None:
    """Run billing once a minute: renewals, collection, retries. Any number of workers may run."""
    from portal_site import clock as clocks
    from portal_site import worker as work
    from portal_site.db import migrations

    if clock_is_right:
        work.trust_clock(clocks.now())
        app.extensions["clock_is_right"] = True
    settings: Settings = app.config["SETTINGS"]
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s", stream=sys.stderr)
    migrations.warn_if_behind(app)
    work.serve(app, settings.queue_url, threads)


@main.command()
@click.argument("subscription", required=False)
@click.option("--all", "everyone", is_flag=True, help="All that are parked.")
@click.option("--cause", help="With --all: only those whose error, as `portal check` shows it, contains these words.")
@with_app
def unpark(_app: Flask, subscription: str | None, everyone: bool, cause: str | None) -> None:
    """Resume billing of parked subscriptions, after the cause has been fixed."""
    from portal_site import clock as clocks
    from portal_site.billing.billing_run import parking

    if (subscription is None) != everyone or (cause is not None and not everyone):
        fail("Name one SUBSCRIPTION, or write --all, and --cause with it for those with one error.")
    if subscription is not None:
        parking.unpark(subscription, clocks.now())
        click.echo("It is billed again with the worker's next run.")
    else:
        click.echo(f"{parking.unpark_all(clocks.now(), cause)} are billed again with the worker's next run.")


@main.command()
@click.option("--account", "account_id", help="The account; needed when there are several.")
@click.option(
    "--days", default=90, show_default=True, type=click.IntRange(1, 1000), help="How long after an offer to look."
)
@click.option("--live", is_flag=True, help="Live mode; test mode otherwise.")
@with_app
def retention(_app: Flask, account_id: str | None, days: int, live: bool) -> None:
    """Compare customers who got an offer when they cancelled with the hold-out group."""
    from portal_site import clock as clocks
    from portal_site.billing.cancellation import retention_results
    from portal_site.cli import tables

    results = retention_results.results(account_id, live, days, clocks.now())
    if not results:
        fail(f"No offer was made {days} days ago or earlier. Choose fewer with --days.")
    for result in results:
        tables.show(tables.retention(result, days))


@main.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--data", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True)
def demo(port: int, data: Path) -> None:
    """Serve the demo portal with sample customers on 127.0.0.1."""
    from portal_site.cli import demo_server

    demo_server.run(port, data.absolute())


for command in (
    set_up, account, user, check, audit, domain, gateway, import_objects, migrate_billing, draft, link, login_page,
    cancellation_page, mail, refund, clock, key, webhooks,
):  # fmt: skip
    main.add_command(command)


if __name__ == "__main__":
    main()
