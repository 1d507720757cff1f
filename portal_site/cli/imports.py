"""`portal import`: Stripe API objects, from files or from an account at Stripe."""

import csv
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
from flask import Flask

from portal_site import locations
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.cli.groups import counter, steps, with_app
from portal_site.cli.serving import fail
from portal_site.config import Settings

if TYPE_CHECKING:
    from portal_site.billing.importing.foreseen import ForeseenBill
    from portal_site.billing.importing.importer import Options
    from portal_site.billing.importing.report import ImportReport


@click.command("import")
@click.argument("source", metavar="[FILE|FOLDER]", required=False, type=click.Path(path_type=Path))
@click.option(
    "--from-stripe", is_flag=True, help="Read the account at Stripe: the connected one, or one whose key is asked for."
)
@click.option("--live", is_flag=True, help="With --from-stripe: live mode; test mode otherwise.")
@click.option(
    "--rate", default=20, show_default=True, type=click.IntRange(1, 100), help="Calls of Stripe a second, at most."
)
@click.option("--fresh", is_flag=True, help="With --from-stripe: read again what was read and has not been imported.")
@click.option("--account", "account_id", help="The account the objects belong to; needed when there are several.")
@click.option("--renew", is_flag=True, help="Bill the subscriptions here from the end of their current period on.")
@click.option("--strict", is_flag=True, help="Import everything, or nothing if anything cannot be taken.")
@click.option(
    "--dry-run", is_flag=True, help="Show what an import would do, without writing, and what would be billed when."
)
@click.option("--report", "report_file", type=click.Path(path_type=Path), help="Where what was left out goes, as CSV.")
@with_app
@acting_as(ActorType.IMPORT)
def import_objects(
    app: Flask, *, source: Path | None, from_stripe: bool, live: bool, rate: int, fresh: bool, account_id: str | None,
    renew: bool, strict: bool, dry_run: bool, report_file: Path | None,
) -> None:  # fmt: skip
    """Import Stripe API objects: JSON by type, JSON lines, answers of the stripe command, CSV, a folder of such files, or all
    that an account at Stripe has.
    """
    from portal_site.billing.importing.importer import Options

    if (source is None) is not from_stripe:
        fail("Name one FILE or FOLDER, or write --from-stripe.")
    if from_stripe and renew:
        fail("Stripe would bill them as well: import them, and take them over with `portal migrate-billing take-over`.")
    settings: Settings = app.config["SETTINGS"]
    with _foreseen(settings.data_dir / "import-forecast.csv", dry_run and (renew or from_stripe)) as foresee:
        options = Options(
            strict=strict, dry_run=dry_run, renew=renew, live_gateways=settings.live_gateways, foresee=foresee
        )
        if source is not None:
            _tell(settings, _imported(source, account_id, options), report_file)
        else:
            _from_stripe(app, account_id, live, rate, fresh, options, report_file)


def _from_stripe(
    app: Flask, account_id: str | None, live: bool, rate: int, fresh: bool, options: "Options", report_file: Path | None
) -> None:
    """Read what has not been read yet, and import it. What was read is deleted once it is imported."""
    from dataclasses import replace

    from portal_site import clock
    from portal_site.billing.migration.reading.export import Export
    from portal_site.cli.merchants import stripe_accounts

    settings: Settings = app.config["SETTINGS"]
    found = stripe_accounts.open_account(app, account_id, live, rate)
    mode = "live" if live else "test"
    export = Export(
        settings.data_dir / "from-stripe" / f"{found.account_id}-{mode}", f"{found.stripe_account} ({mode} mode)"
    )
    if fresh:
        export.clear()
    if export.begun is not None:
        click.echo(f"Going on with what was read since {_minute(export.begun)}; --fresh begins anew.", err=True)
    if not export.is_read:
        with counter("Reading") as told:
            export.read(found.api, clock.now(), told)
    report = _imported(export.folder, found.account_id, replace(options, gateway=found.gateway))
    _tell(settings, report, report_file)
    if not options.dry_run:
        export.clear()


def _imported(source: Path, account_id: str | None, options: "Options") -> "ImportReport":
    from portal_site import clock
    from portal_site.billing.importing import importer

    with steps("Importing") as advance:
        return importer.import_objects(source, clock.now(), account_id, advance, options)


def _tell(settings: Settings, report: "ImportReport", report_file: Path | None) -> None:
    click.echo(report.sentence(), err=True)
    for line in report.summary():
        click.echo(line, err=True)
    path = report_file or settings.data_dir / "import-report.csv"
    if report.write(path):
        click.echo(f"Object by object: {path}", err=True)


@contextmanager
def _foreseen(path: Path, wanted: bool) -> Iterator[Callable[["ForeseenBill"], None] | None]:
    """What takes the bills that are foreseen: writes them to a table, and tells their sums by month at the end."""
    if not wanted:
        yield None
        return
    from portal_site.billing.rules.amounts import money
    from portal_site.spreadsheets import safe

    path.unlink(missing_ok=True)
    locations.make_private_file(path)
    invoices: Counter[tuple[str, str]] = Counter()
    sums: Counter[tuple[str, str]] = Counter()
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("subscription", "customer", "first invoice here", "amount due", "currency"))

        def take(bill: "ForeseenBill") -> None:
            due = "" if bill.amount_due is None else f"{money.major(bill.amount_due, bill.currency)}"
            rows.writerow(map(safe, (bill.subscription, bill.customer, _minute(bill.date), due, bill.currency.upper())))
            key = _minute(bill.date)[:7], bill.currency
            invoices[key] += 1
            sums[key] += bill.amount_due or 0

        yield take
    for month, currency in sorted(invoices):
        total = money.major(sums[month, currency], currency)
        click.echo(
            f"First invoices in {month}, were they billed here: {invoices[month, currency]}, {total} {currency.upper()}",
            err=True,
        )
    click.echo(f"Subscription by subscription: {path}", err=True)


def _minute(at: int) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d %H:%M} UTC"
