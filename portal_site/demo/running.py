"""`portal demo`: makes the database, fills it, prints the links, serves."""

import secrets
from contextlib import suppress
from itertools import groupby
from pathlib import Path

import click
from flask import Flask

from portal_site import cli, clock, create_app, demo, migrating, progress, worker
from portal_site.config import Settings
from portal_site.demo.builder import DAY

STALE = 7 * DAY  # older demo data would say that plans renewed last week, and nothing renews them here
DATABASE = "demo.db"  # not the name of a real portal's: this one is thrown away when it is stale


def run(port: int, data: Path) -> None:
    """Serve the demo on 127.0.0.1 until stopped."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        fresh = _throw_away_stale(data)
        app = create_app(_settings(port, data))
        with app.app_context():
            if fresh:
                _fill(app, data)
            else:
                migrating.upgrade(app)
    except OSError as error:
        cli.fail(f"Cannot use {data}: {error.strerror or error}. Choose another folder with --data.")
    with app.test_request_context(base_url=f"http://127.0.0.1:{port}"):
        _print_links()
    stop = worker.beside(app)
    try:
        cli.serve(app, "127.0.0.1", port)
    finally:
        stop.set()


def _throw_away_stale(data: Path) -> bool:
    """Whether demo data has to be made; what is left of older or unfinished data goes."""
    with suppress(OSError, ValueError):
        if clock.now() - int((data / "made-at").read_text()) < STALE:
            return False
    for ending in ("", "-wal", "-shm"):
        (data / f"{DATABASE}{ending}").unlink(missing_ok=True)
    return True


def _fill(app: Flask, data: Path) -> None:
    with progress.steps("Making demo data") as advance:
        migrating.upgrade(app)
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
    )


def _print_links() -> None:
    from flask import url_for

    for business, customers in groupby(demo.customers(), key=lambda customer: customer.business):
        click.echo(f"\n{business}")
        for customer in customers:
            click.echo(f"  {customer.phrase}\n    {demo.link(customer, clock.now())}")
    click.echo(f"\nAll of them as buttons: {url_for('demo.show_demo', _external=True)}")
    click.echo("The links work for 12 hours. Stop with Ctrl-C.")
