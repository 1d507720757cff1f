"""What commands have in common: the app around them, errors as one line, and progress bars."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import click
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from portal_site.billing.errors import BillingError
from portal_site.billing.events.actors import ActorType, acting_as
from portal_site.cli.serving import fail
from portal_site.config import Settings, SettingsError

Advance = Callable[[int, int], None]


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


@contextmanager
def steps(title: str) -> Iterator[Advance]:
    """A progress bar. The context's value is a function that takes the number of completed steps and their total."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextmanager
def counter(title: str) -> Iterator[Callable[[str, int], None]]:
    """A sign of progress where nobody knows how much there is. The context's value takes what is counted, and how many."""
    if not sys.stderr.isatty():
        yield lambda name, count: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    columns = TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,}")
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=None)
        yield lambda name, count: bar.update(task, description=f"{title}: {name}", completed=count)
