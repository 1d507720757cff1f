"""`portal check`: whether anything needs attention."""

from pathlib import Path

import click
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError

from portal_site import locations
from portal_site.cli.groups import steps, with_app
from portal_site.cli.serving import fail

LATE_MAIL = 15 * 60  # seconds


@click.command()
@with_app
def check(app: Flask) -> None:
    """Check settings, database, schema, worker and payments. The exit code is 1 if anything needs attention."""
    from portal_site.db import db, engine, migrations
    from portal_site.db.transactions import reading

    click.echo("settings: ok")
    settings = app.config["SETTINGS"]
    if settings.secure and not settings.trusted_proxies:
        click.echo(
            "proxy: PORTAL_TRUSTED_PROXIES counts none, so what speaks HTTPS for the portal is taken for all its customers, who "
            "share one limit of requests then."
        )
    if engine.has_no_file(db.engine.url):
        fail(f"database: there is no file {db.engine.url.database}. Run `portal migrate`.")
    with reading() as connection:
        connection.execute(select(1))
    click.echo("database: reachable")
    current, head = migrations.state(app)
    if current != head:
        fail("schema: not up to date. Run `portal migrate`.")
    click.echo("schema: up to date")
    _check_fonts()
    _check_worker()
    _check_mail(app)
    _check_domains()
    _check_gateways()
    _check_webhooks()
    _check_files(app)


def _check_domains() -> None:
    from portal_site.domains import rechecks

    found = rechecks.disabled()
    for one in found:
        click.echo(
            f"domains: {one.host} of {one.account_id} is switched off: its TXT record is {one.finding}", err=True
        )
    if found:
        fail(
            "domains: links of these accounts lead to the portal's own host. Once the record is there, run `portal domain check "
            "--account ID`, or `portal domain remove --account ID` to give the domain up."
        )
    click.echo("domains: none is switched off")


def _check_gateways() -> None:
    from portal_site import clock
    from portal_site.billing.gateways.stripe import connections
    from portal_site.billing.migration import rows, undoing
    from portal_site.billing.payments import provider_events

    found = connections.faults()
    for account_id, livemode, words in found:
        click.echo(f"gateways: Stripe of {account_id} in {'live' if livemode else 'test'} mode: {words}", err=True)
    if found:
        fail("gateways: nothing is charged there. Look with `portal gateway check`, and connect a key that works.")
    click.echo("gateways: no key is known not to work")
    left = rows.left_behind(clock.now() - undoing.SILENT)
    for row in left:
        click.echo(
            f"migration: {row.subscription_id} of {row.account_id}: {row.state} {row.note or ''}".rstrip(), err=True
        )
    if left:
        fail(
            "migration: these are with neither side for sure. Run `portal migrate-billing take-over` again, or `undo`."
        )
    events = provider_events.parked()
    for account_id, event_id, words in events:
        click.echo(f"gateways: event {event_id} of {account_id}: {words}", err=True)
    if events:
        fail("gateways: what these events are about has to be looked at by a person.")


def _check_webhooks() -> None:
    """Name the endpoints that were given up. It is no fault: the merchants' people have been told."""
    from portal_site.billing.webhooks import endpoints

    for endpoint_id, account_id in endpoints.given_up():
        click.echo(
            f"webhooks: {endpoint_id} of {account_id} was disabled, since nothing had reached it for three days. "
            f"`portal webhooks deliveries {endpoint_id}` says why.",
            err=True,
        )


def _check_files(app: Flask) -> None:
    """Files of before the portal made them private, and those that were made by hand, may be open to other users."""
    from sqlalchemy.engine import make_url

    from portal_site.config import Settings

    settings: Settings = app.config["SETTINGS"]
    urls = (make_url(url) for url in (settings.database_url, settings.queue_url))
    files = [Path(url.database) for url in urls if url.get_backend_name() == "sqlite" and url.database]
    commands = [command for path in files if (command := locations.opened_to_others(path.absolute()))]
    if commands:
        fail(f"files: other users of this machine can read the data. Run `{' && '.join(dict.fromkeys(commands))}`.")
    click.echo("files: private")


def _check_mail(app: Flask) -> None:
    from portal_site import clock
    from portal_site.mail import outbox

    if not app.config["SETTINGS"].sends_mail:
        click.echo("mail: off. Set PORTAL_SMTP_URL and PORTAL_MAIL_FROM for login codes and e-mails to customers.")
        return
    found = outbox.backlog()
    late = clock.now() - found.waiting_since if found.waiting_since is not None else 0
    if found.parked:
        fail(
            f"mail: {found.parked} could not be sent, such as: {found.reason}. Run `portal mail retry` once it is mended."
        )
    if late > LATE_MAIL:
        fail(f"mail: e-mails have been waiting for {late // 60} minutes. Is the mail server there, and the worker?")
    click.echo("mail: nothing waits" if found.waiting_since is None else "mail: is being sent")


@click.group()
def audit() -> None:
    """The log of what people did."""


@audit.command("verify")
@with_app
def verify_log(_app: Flask) -> None:
    """Compute the hash of each entry again. Exit code 1 if an entry was changed, removed or slipped in."""
    from portal_site.billing.events import log

    with steps("Verifying") as advance:
        verdict = log.verify(advance)
    if verdict.fault:
        fail(f"After {verdict.count} entries that are right: {verdict.fault}.")
    click.echo(f"{verdict.count} entries, nothing was changed. The last one’s hash: {verdict.head}")


def _check_fonts() -> None:
    from portal_site.documents import fonts

    missing = fonts.missing_writings()
    if missing:
        click.echo(
            f"documents: no font for {', '.join(missing)}: such names are printed as “?” and the document says so. "
            "Install one, such as Debian's fonts-noto-cjk."
        )
    else:
        click.echo("documents: fonts for all writings")


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
