"""The `portal demo` command: creates and fills the demo database, prints the links, and serves the portal."""

import fcntl
import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import groupby
from pathlib import Path
from typing import IO

import click
from flask import Flask

from portal_site import clock, create_app, demo, locations, worker
from portal_site.cli import groups, serving
from portal_site.config import LOOPBACK_NETWORKS, Settings
from portal_site.db import migrations
from portal_site.demo.builder import DAY
from portal_site.demo.dashboard import PASSWORD

# Demo data older than this is replaced. By then trials have ended and failed payments have been given up, so that the
# descriptions of the customers are no longer true.
STALE = 7 * DAY
DATABASE = "demo.db"  # not the name of a real portal's database, because this file is deleted when it is stale


def run(port: int, data: Path) -> None:
    """Serve the demo on 127.0.0.1 until stopped."""
    with _prepared(port, data) as app:
        with app.test_request_context(base_url=f"http://127.0.0.1:{port}"):
            _print_links()
        stop = worker.run_in_thread(app)
        try:
            serving.serve(app, "127.0.0.1", port)
        finally:
            stop.set()


@contextmanager
def _prepared(port: int, data: Path) -> Iterator[Flask]:
    """The app on the data in the folder, which stays locked: other demos may use the data at the same time, not replace it."""
    with ExitStack() as stack:
        try:
            locations.make_private_folder(data)
            lock = stack.enter_context((data / "lock").open("a"))
            is_new = _is_alone(lock) and _delete_stale(data)
            app = create_app(_settings(port, data))
            with app.app_context():
                if is_new:
                    _fill(app, data)
                else:
                    migrations.upgrade(app)
            fcntl.flock(lock, fcntl.LOCK_SH)
        except OSError as error:
            serving.fail(f"Cannot use {data}: {error.strerror or error}. Choose another folder with --data.")
        yield app


def _is_alone(lock: IO[str]) -> bool:
    """Whether no other demo uses the folder. Waits for another demo that is creating its data."""
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        fcntl.flock(lock, fcntl.LOCK_SH)
        return False
    return True


def _delete_stale(data: Path) -> bool:
    """Whether demo data has to be created. Stale or incomplete data is deleted."""
    with suppress(OSError, ValueError):
        age = clock.now() - int((data / "made-at").read_text())
        if 0 <= age < STALE:  # a negative age means that the clock was wrong when the data was created, or is wrong now
            return False
        click.echo("The demo's data is out of date; it is made anew.", err=True)
    for ending in ("", "-wal", "-shm"):
        (data / f"{DATABASE}{ending}").unlink(missing_ok=True)
    return True


def _fill(app: Flask, data: Path) -> None:
    with groups.steps("Making demo data") as advance:
        migrations.upgrade(app)
        advance(1, 3)
        demo.seed(clock.now())
        advance(3, 3)
    (data / "made-at").write_text(str(clock.now()))


def _settings(port: int, data: Path) -> Settings:
    key = data / "secret-key"
    if not key.exists():
        key.touch(mode=0o600)
        key.write_text(secrets.token_urlsafe(48))
    return Settings(
        database_url=f"sqlite:///{data / DATABASE}",
        secret_key=key.read_text(),
        base_url=f"http://127.0.0.1:{port}",
        data_dir=data,
        demo=True,
        webhook_networks=LOOPBACK_NETWORKS,
    )


def _print_links() -> None:
    from flask import url_for

    for business, group in groupby(demo.customers(), key=lambda customer: customer.business):
        customers = list(group)
        there = url_for("demo.open_dashboard", account_id=customers[0].account_id, _external=True)
        click.echo(f"\n{business}\n  Dashboard, whose settings change these portals\n    {there}")
        for customer in customers:
            click.echo(f"  {customer.phrase}\n    {demo.link(customer, clock.now())}")
    click.echo(f"\nAll of them as buttons: {url_for('demo.show_demo', _external=True)}")
    click.echo(
        f"The links work for 12 hours. Where the dashboard asks for a password, it is “{PASSWORD}”. Stop with Ctrl-C."
    )
