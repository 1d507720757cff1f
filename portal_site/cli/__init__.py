"""The `portal` command. Each subcommand calls one operation. An error is printed as one line that says what to do."""

import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.cli import serving
from portal_site.cli.serving import fail
from portal_site.config import Settings, SettingsError


class PlainGroup(click.Group):
    """A command group that reports expected errors as one line, with exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (SettingsError, BillingError) as error:
            fail(str(error))
        except UnicodeEncodeError:
            fail("These words hold bytes that are no text. Type them in UTF-8.")
        except DBAPIError as error:
            fail(_database_words(error))
        except SQLAlchemyError as error:
            fail(f"The database could not be used: {type(error).__name__}.")


def _database_words(error: DBAPIError) -> str:
    from portal_site.db.faults import described

    kind, text = type(error.orig).__name__, str(error.orig)
    if "no such table" in text or kind == "UndefinedTable":
        return "The database is not set up yet: run `portal migrate`."
    if "no such column" in text or "has no column" in text or kind == "UndefinedColumn":
        return "The database's schema is older than the program: run `portal migrate`."
    if kind == "LockNotAvailable" or "database is locked" in text:
        return "A table was in use by somebody else, and nothing was changed: run it again."
    return f"The database could not be used: {described(error)}. Check PORTAL_DATABASE_URL."


def with_app(command: Callable[..., Any]) -> Callable[..., Any]:
    """Call a command with the app as its first argument, within an app and a request context."""

    @wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        from portal_site import create_app

        settings = Settings.from_environment()
        app = create_app(settings)
        with app.app_context(), app.test_request_context(base_url=settings.base_url), acting_as(ActorType.OPERATOR):
            return command(app, *args, **kwargs)

    return wrapper


@click.group(cls=PlainGroup)
def main() -> None:
    """Portal Site: a customer billing portal."""


@main.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--threads", default=8, show_default=True, type=click.IntRange(1, 64))
@with_app
def run(app: Flask, host: str, port: int, threads: int) -> None:
    """Serve the portal with waitress, in one process."""
    from portal_site.db import migrations
    from portal_site.web import access_log

    access_log.configure()
    migrations.warn_if_behind(app)
    serving.serve(app, host, port, threads)


@main.command()
@with_app
def migrate(app: Flask) -> None:
    """Upgrade the database to the newest schema."""
    from portal_site.db import migrations

    migrations.upgrade(app)
    click.echo("The database is up to date.")


@main.command("import")
@click.argument("source", metavar="FILE|FOLDER", type=click.Path(path_type=Path))
@click.option("--account", "account_id", help="The account the objects belong to; needed when there are several.")
@click.option("--renew", is_flag=True, help="Bill the subscriptions here from the end of their current period on.")
@click.option("--strict", is_flag=True, help="Import everything, or nothing if anything cannot be taken.")
@click.option("--dry-run", is_flag=True, help="Show what an import would do, without writing.")
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Where what was left out goes, as CSV.")
@with_app
@acting_as(ActorType.IMPORT)
def import_objects(
    app: Flask, source: Path, account_id: str | None, renew: bool, strict: bool, dry_run: bool, report_file: Path | None
) -> None:
    """Import Stripe API objects: JSON by type, JSON lines, answers of the stripe command, CSV, or a folder of such files."""
    from portal_site import clock
    from portal_site.billing.importing import importer
    from portal_site.cli import progress

    settings: Settings = app.config["SETTINGS"]
    live = any(name != "sandbox" for name in settings.gateways)
    options = importer.Options(strict=strict, dry_run=dry_run, renew=renew, live_provider=live)
    with progress.steps("Importing") as advance:
        report = importer.import_objects(source, clock.now(), account_id, advance, options)
    click.echo(report.sentence(), err=True)
    for line in report.summary():
        click.echo(line, err=True)
    path = report_file or settings.data_dir / "import-report.csv"
    if report.write(path):
        click.echo(f"Object by object: {path}", err=True)


@main.command()
@click.option("--customer", required=True, help="Id or e-mail address.")
@click.option("--configuration", help="Id of a portal configuration; the default one otherwise.")
@click.option("--return-url", help="Where «Return to …» leads.")
@click.option("--to", help="The page it leads to, such as /invoices; the overview otherwise.")
@click.option("--locale", help="Language of the portal, such as fr; the customer's own otherwise.")
@click.option("--account", "account_id", help="The account; needed when several have such a customer.")
@with_app
def link(
    _app: Flask,
    customer: str,
    configuration: str | None,
    return_url: str | None,
    to: str | None,
    locale: str | None,
    account_id: str | None,
) -> None:
    """Print a link to a customer's portal. It works for five minutes."""
    from flask import url_for

    from portal_site import clock
    from portal_site.billing.portal_access import portal_sessions
    from portal_site.web import urls

    if to is not None and urls.page(to, "portal") is None:
        fail("--to must be a page of the portal's, such as /invoices.")
    opened = portal_sessions.open_session(
        customer,
        clock.now(),
        account_id=account_id,
        configuration_id=configuration,
        return_url=return_url,
        locale=locale,
    )
    click.echo(url_for("sessions.follow_link", token=opened.token, to=to, _external=True))


@main.command()
@with_app
def check(app: Flask) -> None:
    """Check settings, database, schema, worker and payments. The exit code is 1 if anything needs attention."""
    from portal_site.db import db, engine, migrations
    from portal_site.db.transactions import reading

    click.echo("settings: ok")
    if engine.has_no_file(db.engine.url):
        fail(f"database: there is no file {db.engine.url.database}. Run `portal migrate`.")
    with reading() as connection:
        connection.execute(select(1))
    click.echo("database: reachable")
    current, head = migrations.state(app)
    if current != head:
        fail("schema: not up to date. Run `portal migrate`.")
    click.echo("schema: up to date")
    _check_worker()


def _check_worker() -> None:
    from portal_site import clock, worker
    from portal_site.billing.billing_run import parking
    from portal_site.db.faults import described
    from portal_site.db.transactions import reading

    try:
        worker.try_to_write()
    except DBAPIError as error:
        fail(f"database: takes no writes: {described(error)}. Nothing is billed until it does.")
    seen = worker.last_seen()
    if seen is None or clock.now() - seen > worker.SILENCE:
        fail("worker: none has been seen for three minutes. Run `portal worker`.")
    with reading() as reader:
        ahead = worker.seconds_ahead(reader)
    click.echo(
        "clock: there is no other to compare this machine's with: see to it that it is right"
        if ahead is None
        else f"clock: {abs(ahead)} s {'ahead of' if ahead > 0 else 'behind'} the database server's"
    )
    click.echo(f"worker: alive, seen {clock.now() - seen} s ago")
    stopped = worker.faults(clock.now())
    for fault in stopped:
        click.echo(f"billing: the last run stopped: {fault}", err=True)
    if stopped:
        fail(
            "billing: no subscription is the reason. Mend what the lines above say; the worker tries again each minute."
        )
    parked = parking.parked()
    for subscription_id, reason in parked:
        click.echo(f"billing: {subscription_id} is parked: {reason}", err=True)
    if parked:
        count = parking.count_parked()
        more = f"{count} are parked, the first {len(parked)} are named. " if count > len(parked) else ""
        fail(
            f"billing: {more}Mend what the lines above say, then run `portal unpark SUBSCRIPTION` for each, or "
            "`portal unpark --all --cause` with the words of one error for all that have it."
        )
    click.echo("billing: nothing is parked")
    silent = parking.count_unresolved(clock.now())
    if silent:
        fail(
            f"payments: {silent} without an answer for 15 minutes or more. Ask the payment provider what became of them."
        )
    click.echo("payments: all answered")


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


@main.group()
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


@main.group()
def clock() -> None:
    """Test clocks, which set the time for the customers attached to them."""


MOMENT = click.DateTime(("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%SZ"))


def _instant(moment: datetime) -> int:
    return int(moment.replace(tzinfo=UTC).timestamp())


@clock.command("create")
@click.option("--at", "moment", type=MOMENT, help="The time it stands at (UTC); now when not given.")
@click.option("--name", help="For telling it from others.")
@click.option("--account", "account_id", help="The account; needed when there are several.")
@with_app
def create_clock(_app: Flask, moment: datetime | None, name: str | None, account_id: str | None) -> None:
    """Create a test clock and print its id."""
    from portal_site import clock as clocks
    from portal_site.billing.billing_run import test_clocks

    now = clocks.now()
    test_clock = test_clocks.create(_instant(moment) if moment else now, now, account_id, name)
    click.echo(test_clock.id)


@clock.command("attach")
@click.argument("clock_id")
@click.argument("customer")
@with_app
def attach_clock(_app: Flask, clock_id: str, customer: str) -> None:
    """Attach a customer (id or e-mail address) to a test clock."""
    from portal_site.billing.billing_run import test_clocks

    test_clock = test_clocks.attach(clock_id, customer)
    frozen_time = datetime.fromtimestamp(test_clock.frozen_time, UTC)
    click.echo(f"{customer} lives at {frozen_time:%Y-%m-%d %H:%M:%S} UTC now.", err=True)


@clock.command("advance")
@click.argument("clock_id")
@click.option("--to", "moment", type=MOMENT, required=True, help="The time to move to (UTC).")
@with_app
def advance_clock(app: Flask, clock_id: str, moment: datetime) -> None:
    """Move a test clock forward. All billing work due on the way is done in order."""
    from portal_site import worker as work
    from portal_site.billing.billing_run import test_clocks

    test_clocks.advance(app.extensions["gateways"], clock_id, _instant(moment), work.return_address)
    click.echo(f"It is {moment:%Y-%m-%d %H:%M:%S} UTC for the customers of {clock_id}.", err=True)


@main.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--data", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True)
def demo(port: int, data: Path) -> None:
    """Serve the demo portal with sample customers on 127.0.0.1."""
    from portal_site.cli import demo_server

    demo_server.run(port, data.absolute())


if __name__ == "__main__":
    main()
