"""The revision of the database's schema, and upgrading it."""

import logging

import flask_migrate
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from flask import Flask

from portal_site import locations
from portal_site.db import db


def upgrade(app: Flask) -> None:
    """Apply all missing migrations, each in its own transaction."""
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with app.app_context():
        flask_migrate.upgrade(directory=str(locations.MIGRATIONS))


def state(app: Flask) -> tuple[str | None, str | None]:
    """The database's current revision (None before the first migration) and the newest revision."""
    with app.app_context(), db.engine.connect() as connection:
        current = MigrationContext.configure(connection).get_current_revision()
    return current, ScriptDirectory(str(locations.MIGRATIONS)).get_current_head()
