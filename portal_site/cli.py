"""The `portal` command: a few lines around an operation each. Errors are one line that says what to do."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, NoReturn

import click
from flask import Flask
from sqlalchemy import select
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from portal_site.billing.errors import BillingError
from portal_site.config import Settings, SettingsError


class PlainGroup(click.Group):
    """Turns what can be expected to go wrong into one line and exit code 1."""

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except (SettingsError, BillingError) as error:
            fail(str(error))
        except DBAPIError as error:
            fail(_database_words(error))
        except SQLAlchemyError as error:
            fail(f"The database could not be used: {type(error).__name__}.")


def _database_words(error: DBAPIError) -> str:
    text = str(error.orig)
    first = text.splitlines()[0] if text else type(error).__name__
    if "no such table" in text or "UndefinedTable" in type(error.orig).__name__:
        return "The database is not set up yet: run `portal migrate`."
    return f"The database could not be used: {first}. Check PORTAL_DATABASE_URL."


def fail(sentence: str) -> NoReturn:
    """Say what is wrong and stop."""
    click.echo(sentence, err=True)
    sys.exit(1)


def with_app(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the app as its first argument, inside the app's context."""

    @wraps(command)
    def inside(*args: Any, **kwargs: Any) -> Any:
        from portal_site import create_app

        settings = Settings.from_environment()
        app = create_app(settings)
        with app.app_context(), app.test_request_context(base_url=settings.base_url):
            return command(app, *args, **kwargs)

    return inside


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
    from portal_site.web import access_log

    access_log.configure()
    serve(app, host, port, threads)


def serve(app: Flask, host: str, port: int, threads: int = 8) -> None:
    """Serve until stopped; a port that is taken is one line, not a traceback."""
    import waitress

    try:
        server = waitress.create_server(app, host=host, port=port, threads=threads, ident=None)
    except OSError as error:
        fail(f"Cannot listen on {host}:{port}: {error.strerror or error}. Choose another with --port.")
    server.run()


@main.command()
@with_app
def migrate(app: Flask) -> None:
    """Bring the database to the newest schema."""
    from portal_site import migrating

    migrating.upgrade(app)
    click.echo("The database is up to date.")


@main.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--account", "account_id", help="The account the objects belong to; needed when there are several.")
@with_app
def import_objects(_app: Flask, file: Path, account_id: str | None) -> None:
    """Take over a JSON file of Stripe API objects by type."""
    from portal_site import clock, progress
    from portal_site.billing.operations import imports

    try:
        text = file.read_bytes()
    except OSError as error:
        fail(f"Cannot read {file}: {error.strerror}.")
    with progress.steps("Importing") as advance:
        report = imports.import_objects(text, clock.now(), account_id, advance)
    click.echo(report.sentence(), err=True)


@main.command()
@click.option("--customer", required=True, help="Id or e-mail address.")
@click.option("--configuration", help="Id of a portal configuration; the default one otherwise.")
@click.option("--return-url", help="Where «Return to …» leads.")
@click.option("--locale", help="Language of the portal, such as fr; the customer's own otherwise.")
@click.option("--account", "account_id", help="The account; needed when several have such a customer.")
@with_app
def link(
    _app: Flask,
    customer: str,
    configuration: str | None,
    return_url: str | None,
    locale: str | None,
    account_id: str | None,
) -> None:
    """Print the address of a customer's portal; it works for five minutes."""
    from flask import url_for

    from portal_site import clock
    from portal_site.billing.operations import portal_sessions

    opened = portal_sessions.open_session(
        customer,
        clock.now(),
        account_id=account_id,
        configuration_id=configuration,
        return_url=return_url,
        locale=locale,
    )
    click.echo(url_for("sessions.follow_link", token=opened.token, _external=True))


@main.command()
@with_app
def check(app: Flask) -> None:
    """Say whether settings, database and schema are fit to serve; exit code 1 when not."""
    from portal_site import migrating
    from portal_site.db import reading

    click.echo("settings: ok")
    with reading() as connection:
        connection.execute(select(1))
    click.echo("database: reachable")
    current, head = migrating.state(app)
    if current != head:
        fail("schema: not up to date. Run `portal migrate`.")
    click.echo("schema: up to date")


@main.command()
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@click.option("--data", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True)
def demo(port: int, data: Path) -> None:
    """Serve demo customers on 127.0.0.1, ready to click."""
    from portal_site.demo import running

    running.run(port, data.absolute())


if __name__ == "__main__":
    main()
